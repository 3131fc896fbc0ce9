"""The one DuckDB connection of a job: opened warm, locked before any tenant's data or text comes near it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from services.validator.jail.footer import Footer

DEFAULT_MEMORY = 1024 * 1024 * 1024

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "async_threads": 0,  # no thread at all, so that a warm connection survives a fork
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
    "preserve_insertion_order": False,
    "temp_directory": "",
    "memory_limit": f"{DEFAULT_MEMORY}B",
}

_JUDGEMENT = """
CREATE TEMP TABLE judged AS SELECT _ordinal,
    coalesce(CAST(NOT (n > 1 AND map_contains(MAP(['1'], [0]), a)) AS UTINYINT), 2::UTINYINT) AS w0
  FROM (SELECT *, TRY_CAST(CASE WHEN regexp_full_match(a, '[0-9]+') THEN a END AS BIGINT) AS n FROM warm)
  WHERE CASE WHEN n > 1 AND map_contains(MAP(['1'], [0]), a) THEN false ELSE random() >= 0 END;
SELECT w0, count(*), CAST(json_object('a', '1') AS VARCHAR) FROM judged GROUP BY GROUPING SETS ((w0), (_ordinal));
DROP TABLE judged;
"""

_REHEARSAL = "SELECT max(_ordinal), max(a) FROM warm"
"""Reading and counting is what takes the most memory into use; judging in a rehearsal costs more than it spares."""

_SAMPLE = (
    """COPY (SELECT 1::BIGINT AS _ordinal, '1' AS a) TO {} (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"""
)

_SUMS = "statistics_propagation"
"""What takes the sum over a left join for small where all of the right side is known to be absent, as with a lookup of a
constant that no mapping has: such sums wrap around unseen, and comparing them goes wrong (DuckDB 2.0.0)."""

_warm: list[duckdb.DuckDBPyConnection] = []
_sample: list[bytes] = []


@dataclass(frozen=True, slots=True)
class Resources:
    """What the engine may use: bytes of memory, threads, and how many bytes to spill to disk, none for small data.

    A tenant's own query takes `query_seconds` at most.
    """

    memory: int = DEFAULT_MEMORY
    threads: int = 1
    spill_bytes: int = 0
    query_seconds: float = 0


def warm() -> None:
    """Open a connection before the fork: opening takes longer than most jobs. It has no threads and no data.

    What every validation does is done once, so that children find it in memory.
    """
    connection = _connect()
    with _file() as path:
        connection.execute(_SAMPLE.format(path))
        _act(connection, path, _JUDGEMENT)
        Footer(path.strip("'"))
        _sample.append(Path(path.strip("'")).read_bytes())
    connection.execute("DROP VIEW warm")
    _warm.append(connection)


def rehearse() -> None:
    """Do with the warm connection, in memory, what every validation does; what it has and is set to stays as it is."""
    with _warm[-1].cursor() as connection, _file(_sample[-1]) as path:
        _act(connection, path, _REHEARSAL)


@contextmanager
def _file(content: bytes = b"") -> Iterator[str]:
    """Yield the path of a file in memory, as an SQL literal."""
    with os.fdopen(os.memfd_create("data", os.MFD_CLOEXEC), "wb", buffering=0) as file:
        file.write(content)
        yield _literal(f"/proc/self/fd/{file.fileno()}")


def _act(connection: duckdb.DuckDBPyConnection, path: str, query: str) -> None:
    connection.execute(f"CREATE TEMP VIEW warm AS SELECT * FROM read_parquet({path})")
    connection.execute(query).fetchall()


def warm_cursor() -> duckdb.DuckDBPyConnection:
    """Return another connection to the warm engine, for rehearsals."""
    return _warm[-1].cursor()


def open_engine(
    resources: Resources,
    paths: Sequence[str],
    spill: str,
    *,
    careful: bool = False,
    fresh: bool = False,
    sums: bool = False,
) -> duckdb.DuckDBPyConnection:
    """Return a connection that can read and write `paths` and spill below `spill`, no more, its configuration locked.

    `careful` keeps errors inside TRY: shared sub-expressions would be computed outside of it. `fresh` is one for
    tenants' own queries: a query that takes long stops by itself, before the job is stopped. `sums` is one that may add
    up: it does without what makes judging records a twentieth cheaper, and sums wrong.
    """
    connection = _connect() if careful or fresh or not _warm else _warm.pop()
    without = ["common_subexpressions"] * careful + [_SUMS] * sums
    connection.execute("; ".join(_settings(resources, paths, spill, without, fresh=fresh)))
    return connection


def _settings(
    resources: Resources, paths: Sequence[str], spill: str, without: Sequence[str], *, fresh: bool
) -> Iterator[str]:
    # each costs half a millisecond or more: what is as it should be already is left alone
    if without:
        yield f"SET disabled_optimizers = {_literal(','.join(without))}"
    if resources.spill_bytes:
        yield f"SET temp_directory = {_literal(spill)}"
        yield f"SET max_temp_directory_size = '{int(resources.spill_bytes)}B'"
    if resources.memory != DEFAULT_MEMORY:
        yield f"SET memory_limit = '{int(resources.memory)}B'"
    if resources.threads != 1:
        yield f"SET threads = {int(resources.threads)}"
    if fresh and resources.query_seconds:
        yield f"SET max_execution_time = {int(resources.query_seconds * 1000)}"
    yield f"SET allowed_paths = [{', '.join(_literal(path) for path in paths)}]"
    yield "SET enable_external_access = false"
    yield "SET lock_configuration = true"


def _connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config=_CONFIG)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
