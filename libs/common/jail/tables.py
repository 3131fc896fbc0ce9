"""Result tables of jobs: read, checked and written anew in a child of their own, before the broker touches them.

The file is its writer's, and its writer may have been taken over: nothing of it but values of the expected columns
gets past the child that reads it. `reseal` and what it calls run there.
"""

import base64
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from libs.common.jail.errors import JobCrashed, JobFailed, JobTimedOut
from libs.common.jail.limits import MIB, Limits
from libs.common.jail.server import JobServer
from libs.common.layout import repeating

_BATCH = 16_384
_SAMPLE = 1024
_MOST_COLUMNS = 10_000
_LIMITS = Limits(
    address_space=3072 * MIB, cpu_seconds=600, wall_seconds=600, file_size=2048 * MIB, result_bytes=64 * MIB
)


class TableError(Exception):
    """A job's result is not the table that it must be; it is not used."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A result file and what it must hold. `source` is Parquet, or an Arrow stream; `target` becomes Parquet.

    `rows` is the number that the job announced, None where it did not say. With `most_rows` the rows come back too, as
    objects, in so far as they are no more than that.
    """

    source: Path
    target: Path
    schema: pa.Schema
    rows: int | None = None
    most_bytes: int = 2048 * MIB
    most_rows: int = 0
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Resealed:
    """How many rows a checked table has, and what they are where they were asked for."""

    rows: int
    values: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Described:
    """How many rows a Parquet file has, and its columns: Arrow types by name, in order."""

    rows: int
    columns: dict[str, str]


async def reseal_tables(server: JobServer, tables: Sequence[Expected], *, owner: str | None = None) -> list[Resealed]:
    """Check result files in one confined child and write what they hold to their targets.

    `server` needs `libs.common.jail.tables` among its preloads. Names and types must be the schema's, neither nested nor
    dictionaries nor extensions but where the schema has them; every value is validated; nothing may follow the end.

    Raises:
        TableError: one is something else. JobServerLost, ConfinementError, OverBudget: see `JobServer.run`.
    """
    for table in tables:
        if table.source.is_symlink() or not table.source.is_file() or table.source.stat().st_size > table.most_bytes:
            raise TableError(f"{table.source.name} is larger than {table.most_bytes} bytes")
    job = {"tables": [_asked(table) for table in tables]}
    with _opened(tables) as (sources, targets):
        try:
            told = await server.run(
                job, sources, writable=targets, limits=_LIMITS, owner=owner, kind="table", call="reseal"
            )
        except (JobFailed, JobCrashed, JobTimedOut) as error:
            raise TableError(f"a result is not what it must be: {error}") from error
    return _believed(told, tables)


async def describe_table(server: JobServer, path: Path, *, owner: str | None = None) -> Described:
    """Return what a Parquet file says of itself, as a confined child reads it.

    Raises:
        TableError: it is no Parquet file with at most 10,000 columns. Others: see `reseal_tables`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        told = await server.run({}, [descriptor], limits=_LIMITS, owner=owner, kind="table", call="describe")
    except (JobFailed, JobCrashed, JobTimedOut) as error:
        raise TableError(f"{path.name} cannot be read: {error}") from error
    finally:
        os.close(descriptor)
    account = told if isinstance(told, dict) else {}
    rows, columns = account.get("rows"), account.get("columns")
    if type(rows) is not int or rows < 0 or not isinstance(columns, dict) or len(columns) > _MOST_COLUMNS:
        raise TableError(f"{path.name} gives no account of its rows and columns")
    return Described(rows, {str(name): str(kind) for name, kind in columns.items()})


def _asked(table: Expected) -> dict[str, Any]:
    schema = base64.b64encode(table.schema.serialize().to_pybytes()).decode()
    return {
        "name": table.target.stem,
        "schema": schema,
        "rows": table.rows,
        "most_rows": table.most_rows,
        "stream": table.stream,
    }


@contextmanager
def _opened(tables: Sequence[Expected]) -> Iterator[tuple[list[int], list[int]]]:
    opened: list[int] = []

    def descriptor(path: Path, flags: int) -> int:
        opened.append(os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        return opened[-1]

    try:
        sources = [descriptor(table.source, os.O_RDONLY) for table in tables]
        yield sources, [descriptor(table.target, os.O_RDWR | os.O_CREAT | os.O_TRUNC) for table in tables]
    finally:
        for each in opened:
            os.close(each)


def _believed(told: Any, tables: Sequence[Expected]) -> list[Resealed]:
    if not isinstance(told, list) or len(told) != len(tables):
        raise TableError("the check of a result gives no account")
    return [_one(table, one) for table, one in zip(tables, told, strict=True)]


def _one(table: Expected, told: Any) -> Resealed:
    rows, values = (told.get("rows"), told.get("values")) if isinstance(told, dict) else (None, None)
    if type(rows) is not int or rows < 0 or (table.rows is not None and rows != table.rows):
        raise TableError(f"{table.target.name} has other rows than were announced")
    names = set(table.schema.names)
    if not isinstance(values, list) or any(not isinstance(value, dict) or value.keys() != names for value in values):
        raise TableError(f"{table.target.name} gives no account of its rows")
    if len(values) != (rows if rows <= table.most_rows else 0):
        raise TableError(f"{table.target.name} gives no account of its rows")
    return Resealed(rows, values)


def reseal(job: dict[str, Any], files: Sequence[int]) -> list[dict[str, Any]]:
    """Check and rewrite the tables of a job; the child's side."""
    asked = job["tables"]
    return [_rewrite(one, files[place], files[len(asked) + place]) for place, one in enumerate(asked)]


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
        with pq.ParquetFile(file) as parquet:
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
