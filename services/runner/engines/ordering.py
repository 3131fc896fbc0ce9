"""Bringing wide records into order."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from libs.expressions import quote_literal
from services.runner.engines.balance import Course, course
from services.runner.engines.parquet import write_parquet

_PIECE = 30_720
_WIDEST = 4 * _PIECE
_BATCH = 8192


class ScatteredError(Exception):
    """Records that belong together in the asked order lie all over the source."""


@dataclass(frozen=True, slots=True)
class Selection:
    """SQL of what to write: columns, records (from FROM on, over `v`, ending in a WHERE) and order.

    `is_ordered` says whether that is another order than the source's.
    """

    columns: str
    records: str
    order: str
    is_ordered: bool

    @property
    def query(self) -> str:
        """The records in whatever order they come."""
        return f"SELECT {self.columns} {self.records}"


@dataclass(frozen=True, slots=True)
class _Piece:
    """Places of the order, both ends included, and the ordinals between which their records are."""

    first: int
    last: int
    low: int
    high: int


def write_nearly_ordered(engine: duckdb.DuckDBPyConnection, selection: Selection, target: Path) -> None:
    """Write the selection in order, from an engine with one thread, in one pass over the source.

    Sources are mostly close to the order that is asked for: then a window that slides over them holds all that comes
    next. Sorting wide records at once spills them to disk, which takes longer than all the rest of a transform.

    Raises:
        ScatteredError: the window would have to be wide.
    """
    # no TEMP table: it is read by a cursor while the records stream
    engine.execute(f"""CREATE TABLE ranked AS
        SELECT v._ordinal, row_number() OVER ({selection.order}) AS place {selection.records}""")
    pieces = _pieces(engine)
    if not pieces or _widest(pieces) > _WIDEST:
        engine.execute("DROP TABLE ranked")
        raise ScatteredError
    with engine.cursor() as cursor:
        reader = engine.sql(selection.query).to_arrow_reader(_BATCH)
        write_parquet(target, reader.schema, _ordered(cursor, reader, pieces))


def write_at_once(engine: duckdb.DuckDBPyConnection, selection: Selection, target: Path) -> Course | None:
    """Write the selected records; return how their ordinals run where they stand in source order at once."""
    copy = f"TO {quote_literal(str(target))} (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
    if not selection.is_ordered:
        engine.execute(f"COPY ({selection.query}) {copy}")
        found = course(engine, target)
        if found.ascending:  # a join that had to spill does not keep the scan's order
            return found
    engine.execute(f"COPY ({selection.query} {selection.order}) {copy}")
    return None


def _pieces(engine: duckdb.DuckDBPyConnection) -> list[_Piece]:
    rows = engine.execute(f"""SELECT min(place), max(place), min(_ordinal), max(_ordinal) FROM ranked
        GROUP BY (place - 1) // {_PIECE} ORDER BY 1""").fetchall()
    return [_Piece(*row) for row in rows]


def _lows(pieces: list[_Piece]) -> list[int]:
    """Return for each piece the earliest ordinal that it or a later one needs."""
    return list(accumulate((piece.low for piece in reversed(pieces)), min))[::-1]


def _widest(pieces: list[_Piece]) -> int:
    highs = accumulate((piece.high for piece in pieces), max)
    return max(high - low + 1 for high, low in zip(highs, _lows(pieces), strict=True))


def _ordered(
    cursor: duckdb.DuckDBPyConnection, batches: Iterator[pa.RecordBatch], pieces: list[_Piece]
) -> Iterator[pa.RecordBatch]:
    held: list[pa.RecordBatch] = []
    for piece, low in zip(pieces, _lows(pieces), strict=True):
        while not held or _ordinals(held[-1])[-1].as_py() < piece.high:
            held.append(next(batches))
        while _ordinals(held[0])[-1].as_py() < low:
            held.pop(0)
        window = pa.Table.from_batches(held).combine_chunks()
        wanted = cursor.sql(
            f"SELECT _ordinal FROM ranked WHERE place BETWEEN {piece.first} AND {piece.last} ORDER BY place"
        ).to_arrow_table()
        places = pc.index_in(wanted.column(0), value_set=window.column("_ordinal"))
        yield from window.take(places).to_batches()


def _ordinals(batch: pa.RecordBatch) -> "pa.Array[Any]":
    return batch.column("_ordinal")
