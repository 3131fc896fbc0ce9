"""Checks that look at all records at once, as SQL that finds the failing ordinals in the view `typed`."""

from collections.abc import Iterable, Sequence

from libs.expressions import Compiled, joins

VIEW = "typed"
"""The view of typed, corrected records that the executor makes before."""
PREVIOUS = "typed_previous"
"""The view of the previous extract's records, typed; empty where there is none."""


def later_duplicates(names: Sequence[str]) -> str:
    """Find records whose `names` equal those of an earlier one; nulls are equal.

    Grouping by hash first keeps 8 bytes a record; the exact comparison then sees only records whose hash is shared.
    """
    columns = ", ".join(names)
    shared = f"SELECT hash({columns}) FROM {VIEW} AS t GROUP BY 1 HAVING count(*) > 1"
    ranked = f"SELECT _ordinal, row_number() OVER (PARTITION BY {columns} ORDER BY _ordinal) AS place FROM {VIEW} AS t WHERE hash({columns}) IN ({shared})"
    return f"SELECT _ordinal FROM ({ranked}) WHERE place > 1"


def without_counterpart(names: Sequence[str], when: Compiled, requires: Compiled) -> str:
    """Find records where `when` holds and no record with equal `names` meets `requires`; nulls are equal."""
    columns = ", ".join(f'"t".{name}' for name in names)
    equal = " AND ".join(f"a.{name} IS NOT DISTINCT FROM b.{name}" for name in names)
    judged = f'SELECT "t"._ordinal, {columns} FROM {VIEW} AS "t" {joins([when])} WHERE ({when.sql})'
    counterparts = f'SELECT {columns} FROM {VIEW} AS "t" {joins([requires])} WHERE ({requires.sql})'
    return f"SELECT a._ordinal FROM ({judged}) AS a ANTI JOIN ({counterparts}) AS b ON {equal}"


def these(ordinals: Iterable[int]) -> str:
    """Return SQL of given ordinals."""
    return f"SELECT unnest([{', '.join(str(int(ordinal)) for ordinal in ordinals)}]::BIGINT[]) AS _ordinal"
