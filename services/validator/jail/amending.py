"""Lays amendments over a dataset: runs confined, knows nothing but its descriptors and what it is told of fields.

An amendment applies to a record of its key where the source still has the value that it replaces. Where the source has
the new value by itself, or a third one, the record stays as it is. Equal are values whose texts are, or whose typed
values are.
"""

from collections.abc import Sequence
from typing import Any

from libs.expressions import quote_identifier, quote_literal
from services.validator.jail.engine import Resources, open_engine
from services.validator.overlay import OverlaidField, Overlay

APPLIED, CAUGHT_UP, DIFFERS = "applied", "caught up", "differs"


def run(job: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
    """Write the amended dataset and what became of each amendment at each record; return the number of the latter."""
    overlay = Overlay.model_validate(job["amend"])
    data, amendments, amended, results, spill = (f"/proc/self/fd/{descriptor}" for descriptor in descriptors)
    engine = open_engine(Resources(**job["resources"]), [data, amendments, amended, results], spill)
    engine.execute(f"CREATE TEMP VIEW source AS SELECT * FROM read_parquet({quote_literal(data)})")
    engine.execute(f"CREATE TEMP TABLE amendment AS SELECT * FROM read_parquet({quote_literal(amendments)})")
    engine.execute(_matched(overlay))
    for number, field in enumerate(overlay.fields):
        engine.execute(_new_values(number, field))
    options = "(FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
    engine.execute(f"COPY ({_amended(overlay)}) TO {quote_literal(amended)} {options}")
    engine.execute(f"COPY (SELECT * FROM matched ORDER BY _ordinal, id, field) TO {quote_literal(results)} {options}")
    (rows,) = engine.execute("SELECT count(*) FROM matched").fetchall()
    return {"results": rows[0]}


def _matched(overlay: Overlay) -> str:
    """Return the statement that finds the records of each amendment, and says how the source stands there."""
    texts = " ".join(f"WHEN {quote_literal(field.field)} THEN {field.text}" for field in overlay.fields)
    state = f"CASE WHEN {_same(overlay, 'old_value')} THEN '{APPLIED}' WHEN {_same(overlay, 'new_value')} THEN '{CAUGHT_UP}' ELSE '{DIFFERS}' END"
    return f"""
        CREATE TEMP TABLE matched AS
        SELECT m._ordinal, m.key, m.id, m.field, {state} AS state, m.source_value, m.new_value FROM (
          SELECT "r"._ordinal, a.key, a.id, a.field, a.old_value, a.new_value, CASE a.field {texts} END AS source_value
          FROM source AS "r" JOIN amendment AS a
            ON a.key = {overlay.key} AND (a.ordinal IS NULL OR a.ordinal = "r"._ordinal)) AS m"""


def _same(overlay: Overlay, other: str) -> str:
    """Return SQL that says whether the source's value is another one: by its text, or as what it stands for."""
    typed = " ".join(
        f"WHEN {quote_literal(field.field)} THEN coalesce({_typed(field, 'source_value')} = {_typed(field, other)}, false)"
        for field in overlay.fields
    )
    return f"(coalesce(m.source_value, '') = coalesce(m.{other}, '') OR CASE m.field {typed} END)"


def _typed(field: OverlaidField, value: str) -> str:
    return f'(SELECT {field.typed} FROM (SELECT m.{value} AS {quote_identifier(field.field)}) AS "r")'


def _new_values(number: int, field: OverlaidField) -> str:
    return f"""
        CREATE TEMP TABLE amended{number} AS SELECT _ordinal, arg_max(new_value, id) AS new_value FROM matched
        WHERE field = {quote_literal(field.field)} AND state = '{APPLIED}' GROUP BY _ordinal"""


def _amended(overlay: Overlay) -> str:
    """Return the query of the amended dataset: the fields that amendments change are text, as a file would hold them."""
    values = ", ".join(
        f"CASE WHEN a{number}._ordinal IS NULL THEN {field.text} ELSE a{number}.new_value END AS {quote_identifier(field.field)}"
        for number, field in enumerate(overlay.fields)
    )
    joined = " ".join(
        f'LEFT JOIN amended{number} AS a{number} ON a{number}._ordinal = "r"._ordinal'
        for number in range(len(overlay.fields))
    )
    return f'SELECT "r".* REPLACE ({values}) FROM source AS "r" {joined}'
