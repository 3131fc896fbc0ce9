"""Records made ready for a report's own code: typed and corrected, without those that are held."""

from collections.abc import Sequence

import duckdb

from libs.expressions import quote_identifier
from services.runner.engines import projection as sql
from services.runner.engines.duck import Budget, open_duckdb
from services.runner.engines.errors import TransformError
from services.runner.engines.loading import load_corrections, load_held
from services.runner.engines.ordering import Selection, write_at_once
from services.runner.engines.parquet import parquet_rows
from services.runner.engines.requests import Readied, SourceRequest
from services.runner.engines.sealing import seal

_CLEAN = "ANTI JOIN held ON held._ordinal = r._ordinal"


def run_ready(request: SourceRequest, _descriptors: Sequence[int] = ()) -> Readied:
    """Write the records of the request in source order.

    Raises:
        TransformError: memory or spill space ran out.
    """
    corrections = [request.corrections] if request.corrections else []
    inputs = [path.parent for path in (request.extract, *request.failures, *corrections)]
    budget = Budget(request.memory, request.threads).for_files(request.extract)
    try:
        with open_duckdb(request.output.parent, inputs, budget) as engine:
            held = load_held(engine, request.failures)
            records = sql.source_records(request, load_corrections(engine, request.corrections), _CLEAN)
            fields = ", ".join(f"v.{quote_identifier(field.name)}" for field in request.source_schema.fields)
            chosen = Selection(
                f"v._ordinal, v._key, {fields}",
                f"FROM ({records}) AS v WHERE true",
                "ORDER BY v._ordinal",
                is_ordered=False,
            )
            write_at_once(engine, chosen, request.output)
    except duckdb.OutOfMemoryException as error:
        raise TransformError("out-of-memory", "The records need more memory or disk than they may use.") from error
    except duckdb.Error as error:
        raise TransformError("engine-failed", f"The engine could not read the records: {error}") from error
    return Readied(output=seal(request.output, parquet_rows(request.output)), held=held)
