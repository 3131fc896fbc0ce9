"""One DuckDB per piece of work, locked down before the first row is read."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree

import duckdb

from libs.expressions import quote_literal
from services.runner.engines.places import SPILL

SMALL = 4 * 1024 * 1024
"""Below so many bytes a file is small: its work takes less than preparing for it."""

_SMALL_SECONDS = 20

_LOCKS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
    "threads": 1,
    "async_threads": 0,  # with these two the engine has no thread of its own, so that it survives a fork
}

_REHEARSAL = """
    COPY (
      SELECT row_number() OVER () AS _ordinal, * FROM read_csv('{0}', auto_detect = false, header = true,
        columns = {{'a': 'VARCHAR'}}, delim = ',', quote = '"', escape = '"', strict_mode = true)
    ) TO '{1}' (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"""
"""A first statement of the common kind: what the engine sets up for it, children inherit."""

_REHEARSAL_OF_STEPS = (
    """COPY (SELECT row_number() OVER () AS _ordinal, * FROM read_csv('{0}', auto_detect = false, header = true,
        columns = {{'a': 'VARCHAR', 'b': 'VARCHAR'}}, delim = ',', quote = '"', escape = '"', strict_mode = true,
        max_line_size = 16777216)) TO '{1}' (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)""",
    "CREATE TEMP TABLE held (_ordinal BIGINT)",
    """CREATE TEMP VIEW typed AS SELECT _ordinal, nullif(a, '') AS a,
        TRY_CAST(CASE WHEN regexp_full_match(b, '[0-9]+') THEN b END AS DECIMAL(18, 2)) AS b
        FROM read_parquet('{1}') AS r ANTI JOIN held USING (_ordinal)""",
    "DESCRIBE SELECT * FROM typed",
    "COPY (SELECT * FROM typed) TO '{2}' (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)",
    "SELECT count(*) FROM (SELECT _ordinal - lag(_ordinal) OVER () AS step FROM read_parquet('{2}')) WHERE step <= 0",
    "COPY (SELECT a, CAST(b AS VARCHAR) AS b FROM typed) TO '{2}' (FORMAT csv, HEADER true, USE_TMP_FILE false)",
)
"""The common kinds of statement, so that a spare has memory of its own for them before it has a job."""

_warm: list[duckdb.DuckDBPyConnection] = []
_retired: list[duckdb.DuckDBPyConnection] = []
_shared: list[duckdb.DuckDBPyConnection] = []


@dataclass(frozen=True, slots=True)
class Budget:
    """What one DuckDB may use: memory and spill space as DuckDB writes them, worker threads, seconds for a statement."""

    memory: str = "128MiB"
    threads: int = 2
    spill: str = "50GiB"
    seconds: int = 0

    def for_files(self, *files: Path) -> "Budget":
        """Return the budget for reading these files: starting threads costs more than small ones are worth."""
        return self if is_large(*files) else replace(self, threads=1)


def is_large(*files: Path) -> bool:
    """Say whether reading these files is worth some preparation."""
    return sum(path.stat().st_size for path in files) >= SMALL


def prewarm() -> None:
    """Open an engine ahead of a fork; the child's `open_duckdb` takes it instead of spending 30 ms on its own."""
    if not _warm:
        connection = _connect()
        with _in_memory("text", "table") as files:  # never a device: the engine locks what it writes to, for everybody
            connection.execute(_REHEARSAL.format(*files))
        _warm.append(connection)


def rehearse() -> None:
    """Do with the warm engine, in memory, what small pieces of work do; what it has and is set to stays as it is."""
    with _in_memory("text", "table", "out") as files, _warm[-1].cursor() as engine:
        Path(files[0]).write_bytes(b"a,b\n1,2\n")
        for statement in _REHEARSAL_OF_STEPS:
            engine.execute(statement.format(*files)).fetchall()


@contextmanager
def _in_memory(*names: str) -> Iterator[list[str]]:
    """Make files that nobody else has, and yield their paths."""
    files = [os.memfd_create(name, os.MFD_CLOEXEC) for name in names]
    try:
        yield [f"/proc/self/fd/{file}" for file in files]
    finally:
        for file in files:
            os.close(file)


@contextmanager
def open_duckdb(
    scratch: Path, allowed: Sequence[Path] = (), budget: Budget | None = None, *, total: bool = True
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an engine that reads and writes below `scratch` and below or at `allowed` only, in UTC, with its settings locked.

    `total=False` is for expressions that can fail on a row: it keeps `TRY` effective by disabling the optimizer pass
    that would hoist work out of it.
    """
    if _shared:
        yield _shared[-1]
        return
    forked = bool(_warm)
    connection = _warm.pop() if forked else _connect()
    try:
        # at once: each call costs more than what it sets
        connection.execute("; ".join(_lockdown(scratch, allowed, budget or Budget(), total=total)))
        yield connection
    finally:
        if forked:
            _retired.append(connection)  # the process ends with its job: freeing everything first takes 30 ms
        else:
            connection.close()
        rmtree(scratch / SPILL, ignore_errors=True)


@contextmanager
def sharing_duckdb(scratch: Path, allowed: Sequence[Path], budget: Budget) -> Iterator[None]:
    """Have all who open an engine within get the same one: opening takes longer than small work.

    A statement of small work that takes long is stopped.
    """
    with open_duckdb(scratch, allowed, replace(budget, seconds=_SMALL_SECONDS), total=False) as engine:
        _shared.append(engine)
        try:
            yield
        finally:
            _shared.clear()


def _connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:", config=_LOCKS)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _lockdown(scratch: Path, allowed: Sequence[Path], budget: Budget, *, total: bool) -> Iterator[str]:
    spill = scratch / SPILL
    spill.mkdir(parents=True, exist_ok=True)
    directories = ", ".join(quote_literal(str(path)) for path in (scratch, *allowed))
    files = ", ".join(quote_literal(str(path)) for path in allowed)
    if budget.threads > 1:
        yield f"SET threads = {int(budget.threads)}"
    if budget.seconds:
        yield f"SET max_execution_time = {budget.seconds * 1000}"
    yield f"SET memory_limit = {quote_literal(budget.memory)}"
    yield f"SET temp_directory = {quote_literal(str(spill))}"
    yield f"SET max_temp_directory_size = {quote_literal(budget.spill)}"
    yield f"SET allowed_directories = [{directories}]"
    yield f"SET allowed_paths = [{files}]"
    yield "SET enable_external_access = false"
    if not total:
        yield "SET disabled_optimizers = 'common_subexpressions'"
    yield "SET lock_configuration = true"
