"""Counting every record once."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from libs.expressions import quote_literal
from services.runner.engines.errors import TransformError


@dataclass(frozen=True, slots=True)
class Balance:
    """Records by what became of them; `dropped` are neither out nor held, and stand in the table `dropped`."""

    rows_in: int
    rows_out: int
    held: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Course:
    """How the ordinals of a file run, from its first record to its last."""

    rows: int
    ascending: bool
    first: int | None
    last: int | None

    def is_whole(self, rows_in: int) -> bool:
        """Say whether they are 1..rows_in: as many, each greater than the one before, between the same ends."""
        return self.ascending and (self.rows, self.first, self.last) == (rows_in, 1, rows_in)


def course(engine: duckdb.DuckDBPyConnection, output: Path) -> Course:
    """Return how the ordinals of a Parquet file run; without one, a record is not ascending."""
    steps = f"SELECT _ordinal, lag(_ordinal, 1, 0) OVER () AS before FROM read_parquet({quote_literal(str(output))})"
    query = f"SELECT count(*), count(*) FILTER (_ordinal > before), min(_ordinal), max(_ordinal) FROM ({steps})"
    rows, ascents, first, last = engine.execute(query).fetchall()[0]
    return Course(rows, rows == ascents, first, last)


def balance(engine: duckdb.DuckDBPyConnection, output: Path, rows_in: int) -> Balance:
    """Compare the ordinals of the output and of the table `held` with 1..rows_in; fill the table `dropped`.

    A bit a record: memory does not grow with the width of the data.

    Raises:
        TransformError: `unbalanced` when an ordinal is foreign or stands twice.
    """
    source = f"read_parquet({quote_literal(str(output))})"
    held = _check_range(engine, "held", rows_in)
    rows_out = _check_range(engine, source, rows_in)
    engine.execute("CREATE TEMP TABLE dropped (_ordinal BIGINT)")
    engine.execute(f"""CREATE TEMP TABLE seen AS SELECT bitstring_agg(_ordinal, 1, {max(rows_in, 1)}) AS bits
        FROM (SELECT _ordinal FROM {source} UNION ALL SELECT _ordinal FROM held)""")
    distinct = _number(engine, "SELECT coalesce(bit_count(bits), 0) FROM seen")
    if distinct != rows_out + held:
        raise TransformError("unbalanced", f"{rows_out + held - distinct} records came out of the transform twice.")
    if distinct < rows_in:
        engine.execute(f"""INSERT INTO dropped SELECT o FROM range(1, {rows_in + 1}) AS r(o), seen
            WHERE coalesce(get_bit(bits, CAST(o - 1 AS INTEGER)), 0) = 0""")
    return Balance(rows_in, rows_out, held, rows_in - distinct)


def _check_range(engine: duckdb.DuckDBPyConnection, source: str, rows_in: int) -> int:
    query = f"SELECT count(*), count(*) FILTER (_ordinal IS NULL OR _ordinal NOT BETWEEN 1 AND {rows_in}) FROM {source}"
    rows, foreign = engine.execute(query).fetchall()[0]
    if foreign:
        raise TransformError("unbalanced", f"{foreign} records do not come from the extract.")
    return int(rows)


def _number(engine: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(engine.execute(query).fetchall()[0][0])
