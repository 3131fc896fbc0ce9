"""Query results as they stream out of the engine."""

from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa


def stream_batches(engine: duckdb.DuckDBPyConnection, query: str, size: int) -> Iterator[pa.RecordBatch]:
    """Yield the query's result in batches of at most `size` rows, in order and without holding it."""
    # the relation's reader streams; the one of `execute` holds the whole result
    yield from engine.sql(query).to_arrow_reader(size)


def text_bytes(texts: "pa.Array[Any]") -> memoryview:
    """Return the UTF-8 of all values behind one another, without a copy."""
    _, offsets, data = texts.buffers()
    if data is None or offsets is None or len(texts) == 0:
        return memoryview(b"")
    bounds = memoryview(offsets).cast("i")
    return memoryview(data)[bounds[texts.offset] : bounds[texts.offset + len(texts)]]
