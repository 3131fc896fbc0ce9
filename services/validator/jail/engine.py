"""The one DuckDB connection of a job: opened warm, locked before any tenant's data or text comes near it."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "async_threads": 0,  # no thread at all, so that a warm connection survives a fork
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
    "preserve_insertion_order": False,
}

_warm: list[duckdb.DuckDBPyConnection] = []


@dataclass(frozen=True, slots=True)
class Resources:
    """What the engine may use: bytes of memory, threads, a directory to spill to and how much of it."""

    memory: int
    threads: int
    spill: str
    spill_bytes: int


def warm() -> None:
    """Open a connection before the fork: opening takes longer than most jobs. It has no threads and no data."""
    connection = _connect()
    connection.execute("SELECT histogram(1), json_object('a', 1)").fetchall()
    _warm.append(connection)


def open_engine(resources: Resources, paths: Sequence[str], *, careful: bool = False) -> duckdb.DuckDBPyConnection:
    """Return a connection that can read and write `paths` and nothing else, with its configuration locked.

    `careful` keeps errors inside TRY: shared sub-expressions would be computed outside of it.
    """
    connection = _connect() if careful or not _warm else _warm.pop()
    if careful:
        connection.execute("SET disabled_optimizers = 'common_subexpressions'")
    connection.execute(f"SET temp_directory = {_literal(resources.spill)}")
    connection.execute(f"SET max_temp_directory_size = '{int(resources.spill_bytes)}B'")
    connection.execute(f"SET memory_limit = '{int(resources.memory)}B'")
    connection.execute(f"SET threads = {int(resources.threads)}")
    connection.execute(f"SET allowed_paths = [{', '.join(_literal(path) for path in paths)}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config=_CONFIG)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
