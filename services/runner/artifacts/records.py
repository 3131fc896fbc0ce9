"""The records that go into an artifact."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from libs.expressions import quote_literal
from services.runner.artifacts.requests import RenderRequest
from services.runner.engines.duck import Budget, open_duckdb
from services.runner.engines.errors import RenderError

RECORDS = "records"
"""The view of the records to render, in output order."""


@contextmanager
def open_records(request: RenderRequest) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an engine with the view `records`: the transformed records without the ones held in the output phase.

    It has one thread: with more, what streams out behind a join is not in order, and files are written no faster.

    Raises:
        RenderError: memory or spill space ran out, or the engine refused.
    """
    inputs = [path.parent for path in (request.transformed, *request.failures)]
    try:
        with open_duckdb(request.target.parent, inputs, Budget(request.memory, threads=1)) as engine:
            _create_view(engine, request)
            yield engine
    except duckdb.OutOfMemoryException as error:
        raise RenderError("out-of-memory", "Rendering needs more memory or disk than it may use.") from error
    except duckdb.Error as error:
        raise RenderError("engine-failed", f"The engine could not render: {error}") from error


def count_records(engine: duckdb.DuckDBPyConnection) -> int:
    """Return the number of records to render."""
    return int(engine.execute(f"SELECT count(*) FROM {RECORDS}").fetchall()[0][0])


def _create_view(engine: duckdb.DuckDBPyConnection, request: RenderRequest) -> None:
    anti = ""
    if request.failures:
        files = ", ".join(quote_literal(str(path)) for path in request.failures)
        engine.execute(f"""CREATE OR REPLACE TEMP TABLE held AS
            SELECT DISTINCT _ordinal FROM read_parquet([{files}]) WHERE severity = 'blocking'""")
        held = engine.execute("SELECT count(*) FROM held").fetchall()[0][0]
        anti = "ANTI JOIN held ON held._ordinal = t._ordinal" if held else ""
    source = f"read_parquet({quote_literal(str(request.transformed))})"
    engine.execute(f"CREATE OR REPLACE TEMP VIEW {RECORDS} AS SELECT t.* FROM {source} AS t {anti}")
