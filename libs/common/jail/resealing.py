"""What the child does that checks result tables: nothing here believes a byte of them."""

import base64
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from libs.common.layout import repeating

_BATCH = 16_384
_SAMPLE = 1024


def reseal(job: dict[str, Any], files: Sequence[int]) -> list[dict[str, Any]]:
    """Check and rewrite the tables of a job; the child's side."""
    asked = job["tables"]
    return [_rewrite(one, files[place], files[len(asked) + place]) for place, one in enumerate(asked)]


def rehearse() -> None:
    """Check a table of one row, in memory."""
    batch = pa.RecordBatch.from_pydict({"n": [1], "t": ["a"]})
    schema = base64.b64encode(batch.schema.serialize().to_pybytes()).decode()
    asked = {"name": "rehearsed", "schema": schema, "rows": 1, "most_rows": 1, "stream": False}
    with ExitStack() as stack:
        files = [os.memfd_create("table", os.MFD_CLOEXEC) for _ in range(2)]
        for file in files:
            stack.callback(os.close, file)
        with os.fdopen(os.dup(files[0]), "wb") as source, pq.ParquetWriter(source, batch.schema) as writer:
            writer.write_batch(batch)
        os.lseek(files[0], 0, os.SEEK_SET)
        reseal({"tables": [asked]}, files)


def describe(_: dict[str, Any], files: Sequence[int]) -> dict[str, Any]:
    """Describe a Parquet file; the child's side."""
    with os.fdopen(os.dup(files[0]), "rb") as file, pq.ParquetFile(file) as parquet:
        columns = {field.name: str(field.type) for field in parquet.schema_arrow}
        return {"rows": parquet.metadata.num_rows, "columns": columns}


def _rewrite(asked: dict[str, Any], source: int, target: int) -> dict[str, Any]:
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(asked["schema"])))
    expected = math.inf if asked["rows"] is None else asked["rows"]
    rows, values = 0, []
    with os.fdopen(os.dup(source), "rb") as read, os.fdopen(os.dup(target), "wb") as write:
        batches = (_stream(read) if asked["stream"] else _parquet(read))(schema)
        first = next(batches, None)
        repeats: Any = repeating(first.slice(0, _SAMPLE)) if first else False  # pyarrow's stubs know bool only
        with pq.ParquetWriter(write, schema, compression="zstd", use_dictionary=repeats) as writer:
            for batch in chain([first] if first else (), batches):
                rows += batch.num_rows
                if rows > expected:  # a few bytes can stand for thousands of millions of rows
                    raise ValueError(f"{asked['name']} has more than {expected} rows")
                writer.write_batch(batch)
                if rows <= asked["most_rows"]:
                    values += batch.to_pylist()
    if rows < expected < math.inf:
        raise ValueError(f"{asked['name']} has {rows} rows, not {expected}")
    shown = values if rows <= asked["most_rows"] else []
    json.dumps(shown)  # what JSON cannot say was not to be asked for
    return {"rows": rows, "values": shown}


Batches = Callable[[pa.Schema], Iterator[pa.RecordBatch]]


def _parquet(file: BinaryIO) -> Batches:
    def batches(schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(file, pre_buffer=False) as parquet:  # a spare must not have the thread that reads ahead
            _require(parquet.schema_arrow, schema)
            for batch in parquet.iter_batches(batch_size=_BATCH, use_threads=False):
                yield _plain(batch, schema)

    return batches


def _stream(file: BinaryIO) -> Batches:
    def batches(schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        source = pa.PythonFile(file, mode="r")  # type: ignore[arg-type]
        with pa.ipc.open_stream(source) as stream:
            _require(stream.schema, schema)
            for batch in stream:
                yield _plain(batch, schema)
        if file.read(1):
            raise ValueError("something follows the end of the stream")

    return batches


def _require(found: pa.Schema, schema: pa.Schema) -> None:
    # by name and type only: engines mark columns that happen to hold no null as not nullable
    if (found.names, found.types) != (schema.names, schema.types):
        raise ValueError(f"columns are {found.names[:20]}, types {[str(one) for one in found.types[:20]]}")


def _plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the batch under the schema that was asked for, every value looked at, its own metadata left behind."""
    plain = pa.RecordBatch.from_arrays(batch.columns, schema=schema)
    plain.validate(full=True)
    return plain
