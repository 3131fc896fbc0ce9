"""Parquet files: their footer, and writing them from a stream."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.layout import repeating

_GROUP = 30_720


def parquet_rows(path: Path) -> int:
    """Return the number of rows that the Parquet file's footer states."""
    with pq.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def write_parquet(target: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write the batches, each of that schema, and return the number of rows; memory holds a few row groups."""
    groups = _groups(batches)
    first = next(groups, None)
    with pq.ParquetWriter(target, schema, **_layout(schema, first)) as writer:
        return _write_behind(writer, chain((first,), groups)) if first else 0


def _write_behind(writer: pq.ParquetWriter, groups: Iterable[pa.Table]) -> int:
    """Write each group on another thread while the next is made: neither holds the interpreter's lock."""
    rows = 0
    with ThreadPoolExecutor(1) as pool:
        before: Future[None] | None = None
        for group in groups:
            if before:
                before.result()
            before = pool.submit(writer.write_table, group, row_group_size=_GROUP)
            rows += group.num_rows
        if before:
            before.result()
    return rows


def _layout(schema: pa.Schema, first: pa.Table | None) -> dict[str, Any]:
    """Return how columns are written: ordinals, which mostly count up, as differences, which are next to nothing."""
    counting = [name for name in schema.names if name == "_ordinal"]
    # fewer rows than a group do not show which columns gain by a dictionary
    names = repeating(first) if first and first.num_rows == _GROUP else schema.names
    return {
        "compression": {name: "none" if name in counting else "zstd" for name in schema.names},
        "use_dictionary": [name for name in names if name not in counting],
        "column_encoding": dict.fromkeys(counting, "DELTA_BINARY_PACKED"),
    }


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        while rows >= _GROUP:
            whole = pa.Table.from_batches(held)
            yield whole.slice(0, _GROUP)
            held = whole.slice(_GROUP).to_batches()
            rows -= _GROUP
    if rows:
        yield pa.Table.from_batches(held)
