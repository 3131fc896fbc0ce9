"""The SQL job: a tenant's SELECT, guarded before, over the records and the report's mappings."""

from collections.abc import Sequence
from typing import Any

import duckdb

from libs.expressions import quote_identifier, quote_literal
from services.validator.jail.engine import Resources, open_engine
from services.validator.jail.outlet import Outlet
from services.validator.jail.python import Progress
from services.validator.jail.unfit import UnfitResultError

_BATCH = 16_384


def run(job: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
    """Run `job["query"]` over the records; the rows go to their file, an error is the answer."""
    tables = ("records", *job["mappings"])
    files = [f"/proc/self/fd/{descriptor}" for descriptor in descriptors]
    sources, (result, _log, progress_file, spill) = files[: len(tables)], descriptors[len(tables) :]
    # one thread: rows come in the same order each time
    resources = Resources(memory=job["memory"], spill_bytes=job["spill"])
    engine = open_engine(resources, sources, f"/proc/self/fd/{spill}", sums=True)
    progress = Progress(progress_file)
    try:
        for table, path in zip(tables, sources, strict=True):
            engine.execute(f"CREATE TEMP VIEW {quote_identifier(table)} AS FROM read_parquet({quote_literal(path)})")
        with open(result, "wb", closefd=False, buffering=0) as file:
            outlet = Outlet(file)
            for batch in engine.sql(job["query"]).to_arrow_reader(_BATCH):
                outlet.take(batch)
                progress.taken = progress.given = outlet.rows
                progress.show()
            outlet.flush()
    except (duckdb.Error, UnfitResultError) as error:
        return {"error": {"kind": "sql", "message": str(error)[:1000], "lines": []}}
    except OSError:
        message = "the rows take more room than a transform may fill"
        return {"error": {"kind": "ResultTooLarge", "message": message, "lines": []}}
    except MemoryError:
        message = "the transform needs more memory than it may use"
        return {"error": {"kind": "MemoryError", "message": message, "lines": []}}
    return {"rows": outlet.rows}
