"""What code made of records, made comparable: rows have numbers of their own in each run, records and keys have not."""

from collections.abc import Mapping
from pathlib import Path

import duckdb

from libs.expressions import quote_literal
from services.runner.engines.errors import TransformError
from services.runner.engines.parquet import parquet_rows
from services.runner.engines.requests import Side

SAME_RECORD = ("_ordinal",)
SAME_ROW = ("_slot", "_label", "_place")
"""What a record, and a row that code made, is found by in the other run."""


def is_traced(sides: Mapping[str, Side]) -> bool:
    """Say whether the rows of the runs are not records.

    Raises:
        TransformError: it is known of one of the runs only.
    """
    known = {side.origins is not None for side in sides.values()}
    if len(known) > 1:  # a replay that was asked for by a version of ours that did not compare them
        raise TransformError(
            "origins-missing", "It is not known what a run's rows came of; ask for the backtest again."
        )
    return known == {True}


def align(engine: duckdb.DuckDBPyConnection, sides: Mapping[str, Side], home: Path, *, by_key: bool) -> dict[str, Side]:
    """Write each side's rows with the first record behind each, and its rows' failures, sorted by their slot.

    A slot has few rows. A row of one record is found by it, and by the key that the code gave it, if any. One of several records is found by
    its key alone: its first record may be held in one of the runs.
    """
    slots = max(1, *(parquet_rows(side.records) for side in sides.values()))
    slot = f"CAST(hash(r._key) % {slots} AS BIGINT)" if by_key else "o._first"
    label = "r._key" if by_key else "CASE WHEN r._key IS DISTINCT FROM o.key THEN r._key ELSE '' END"
    aligned = {}
    for name, side in sides.items():
        rows = write_sorted(
            engine,
            f"""SELECT {slot} AS _slot, {label} AS _label, r._ordinal AS _row, o._first AS _ordinal, r.* EXCLUDE (_ordinal)
              FROM {_file(side.records)} AS r JOIN {_file(side.origins)} AS o
                ON o._row = r._ordinal AND o._ordinal = o._first""",
            home / f"{name}-rows.parquet",
        )
        output = side.output and _of_rows(engine, side.output, rows, home / f"{name}-output.parquet")
        aligned[name] = side.model_copy(update={"records": rows, "output": output})
    return aligned


def _of_rows(engine: duckdb.DuckDBPyConnection, failures: Path, rows: Path, target: Path) -> Path:
    """Write failures that number rows with where the rows are found: once, not slice by slice."""
    query = f"""
        SELECT r._slot, r._row, f.* EXCLUDE (_ordinal, key)
        FROM {_file(failures)} AS f JOIN {_file(rows)} AS r ON r._row = f._ordinal"""
    return write_sorted(engine, query, target)


def write_sorted(engine: duckdb.DuckDBPyConnection, query: str, target: Path, place: str = "_slot") -> Path:
    """Write what a query gives, sorted so that a slice of it is read without the rest."""
    # in two steps: a join and a sort at once want more memory than either
    engine.execute(f"CREATE OR REPLACE TEMP TABLE unsorted AS {query}")
    options = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480, USE_TMP_FILE false"
    engine.execute(f"COPY (FROM unsorted ORDER BY {place}) TO {quote_literal(str(target))} ({options})")
    engine.execute("DROP TABLE unsorted")
    return target


def _file(path: Path | None) -> str:
    return f"read_parquet({quote_literal(str(path))})"
