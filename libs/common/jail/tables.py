"""Result tables of jobs: read, checked and written anew in a child of their own, before the broker touches them.

The file is its writer's, and its writer may have been taken over: nothing of it but values of the expected columns
gets past the child that reads it, which does so by `libs.common.jail.resealing`.
"""

import base64
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from libs.common.jail.errors import JobCrashed, JobFailed, JobTimedOut
from libs.common.jail.limits import MIB, Limits
from libs.common.jail.server import JobServer

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

    `server` needs `libs.common.jail.resealing` among its preloads. Names and types must be the schema's, neither nested nor
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
