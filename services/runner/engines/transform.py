"""From sealed extract to transformed records: one pass, in output order, balanced to the record."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import duckdb

from libs.expressions import quote_identifier, quote_literal
from libs.expressions.fitting import Fitting, fit
from services.runner.engines import projection as sql
from services.runner.engines.balance import Balance, Course, balance
from services.runner.engines.duck import Budget, is_large, open_duckdb
from services.runner.engines.errors import TransformError
from services.runner.engines.loading import load_corrections, load_held
from services.runner.engines.ordering import ScatteredError, Selection, write_at_once, write_nearly_ordered
from services.runner.engines.outcomes import write_dispositions, write_faults, write_nothing
from services.runner.engines.parquet import parquet_rows
from services.runner.engines.projection import Projection, compile_transform
from services.runner.engines.requests import Transformed, TransformRequest
from services.runner.engines.sealing import seal

_Write = Callable[[duckdb.DuckDBPyConnection, Selection, Path], Course | None]
_HELD = "ANTI JOIN held ON held._ordinal = r._ordinal"


def run_transform(request: TransformRequest, _descriptors: Sequence[int] = ()) -> Transformed:
    """Write the transformed records of the request, its dispositions and its target faults.

    Raises:
        TransformError: an expression is refused, memory or spill space ran out, or the step does not balance.
    """
    projection = compile_transform(request)
    try:
        if projection.order and is_large(request.extract):
            with suppress(ScatteredError), _engine(request, projection, threads=1) as engine:
                return _transform(engine, request, projection, _write_nearly_ordered)
        with _engine(request, projection, request.threads) as engine:
            return _transform(engine, request, projection, write_at_once)
    except duckdb.OutOfMemoryException as error:
        raise TransformError("out-of-memory", "The transform needs more memory or disk than it may use.") from error
    except duckdb.Error as error:
        raise TransformError("engine-failed", f"The engine refused the transform: {error}") from error


def _engine(
    request: TransformRequest, projection: Projection, threads: int
) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
    inputs = [path.parent for path in _inputs(request)]
    budget = Budget(request.memory, threads).for_files(request.extract)
    return open_duckdb(request.output.parent, inputs, budget, total=projection.total)


def _inputs(request: TransformRequest) -> list[Path]:
    corrections = [request.corrections] if request.corrections else []
    mappings = [file.path for file in request.mappings.values()]
    return [request.extract, *request.failures, *corrections, *mappings, request.dispositions, request.faults]


def _transform(
    engine: duckdb.DuckDBPyConnection, request: TransformRequest, projection: Projection, write: _Write
) -> Transformed:
    rows_in = parquet_rows(request.extract)
    held = load_held(engine, request.failures)
    _load_mappings(engine, request)
    corrected = load_corrections(engine, request.corrections)
    values = sql.target_values(projection, sql.source_records(request, corrected, _HELD if held else ""))
    fitting = fit(request.target_schema, _types(engine, values))
    found = write(engine, _selection(projection, fitting, values), request.output)
    if not held and found is not None and found.is_whole(rows_in):
        return _all_out(request, rows_in)
    result = balance(engine, request.output, rows_in)
    dropped = sql.source_records(request, corrected, "SEMI JOIN dropped ON dropped._ordinal = r._ordinal")
    write_faults(engine, request.faults, sql.target_values(projection, dropped), fitting, result)
    return _conclude(engine, request, result)


def _load_mappings(engine: duckdb.DuckDBPyConnection, request: TransformRequest) -> None:
    for alias, file in request.mappings.items():
        table, path = quote_identifier(sql.mapping_table(alias)), quote_literal(str(file.path))
        engine.execute(f"CREATE TEMP TABLE {table} AS FROM read_parquet({path})")


def _types(engine: duckdb.DuckDBPyConnection, query: str) -> dict[str, str]:
    bound = engine.sql(query)  # bound only: DESCRIBE plans and runs
    return {name: str(kind) for name, kind in zip(bound.columns, bound.types, strict=True)}


def _selection(projection: Projection, fitting: Fitting, values: str) -> Selection:
    columns = ", ".join(f"{cast} AS {quote_identifier(name)}" for name, cast in fitting.casts)
    records = f"FROM ({values}) AS v WHERE v._where IS TRUE AND NOT ({fitting.unfit})"
    return Selection(f"v._ordinal, v._key, {columns}", records, sql.order_clause(projection), bool(projection.order))


def _write_nearly_ordered(engine: duckdb.DuckDBPyConnection, selection: Selection, target: Path) -> Course | None:
    write_nearly_ordered(engine, selection, target)
    return None


def _all_out(request: TransformRequest, rows: int) -> Transformed:
    """Conclude a transform that every record came out of."""
    write_nothing(request.dispositions, request.faults)
    return Transformed(
        output=seal(request.output, rows),
        dispositions=seal(request.dispositions, 0),
        faults=seal(request.faults, 0),
        rows_in=rows,
        held=0,
        filtered=0,
        unfit=0,
    )


def _conclude(engine: duckdb.DuckDBPyConnection, request: TransformRequest, result: Balance) -> Transformed:
    filtered, unfit = write_dispositions(engine, request.dispositions)
    if result.rows_out + result.held + filtered + unfit != result.rows_in:
        raise TransformError("unbalanced", f"{result.dropped - filtered - unfit} records have no reason to be missing.")
    return Transformed(
        output=seal(request.output, result.rows_out),
        dispositions=seal(request.dispositions, parquet_rows(request.dispositions)),
        faults=seal(request.faults, parquet_rows(request.faults)),
        rows_in=result.rows_in,
        held=result.held,
        filtered=filtered,
        unfit=unfit,
    )
