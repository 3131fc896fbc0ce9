"""The pieces of data work that children do; this is what the job server runs."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from libs.common.vocabulary.base import Strict
from services.runner.artifacts.render import render
from services.runner.artifacts.requests import RenderRequest
from services.runner.engines.compare import compare_runs
from services.runner.engines.drafting import drafting
from services.runner.engines.errors import DataPathError
from services.runner.engines.folding import run_fold
from services.runner.engines.readying import run_ready
from services.runner.engines.requests import CompareRequest, FoldRequest, SourceRequest, TransformRequest
from services.runner.engines.selecting import SelectRequest, WidenRequest, select_records, widen_records
from services.runner.engines.transform import run_transform
from services.runner.records.files import find_records, read_differences, write_mapping, write_not_out
from services.runner.records.requests import DifferencesRequest, FindRequest, MappingRequest, NotOutRequest
from services.runner.sources.csv_file import parse_csv
from services.runner.sources.query import run_query
from services.runner.sources.requests import CsvRequest, QueryRequest

_WORK: dict[str, tuple[type[Strict], Callable[[Any, Sequence[int]], Strict]]] = {
    "parse_csv": (CsvRequest, drafting(parse_csv)),
    "run_query": (QueryRequest, drafting(run_query)),
    "select": (SelectRequest, select_records),
    "widen": (WidenRequest, widen_records),
    "transform": (TransformRequest, run_transform),
    "ready": (SourceRequest, run_ready),
    "fold": (FoldRequest, run_fold),
    "render": (RenderRequest, render),
    "not_out": (NotOutRequest, write_not_out),
    "find_records": (FindRequest, find_records),
    "compare": (CompareRequest, compare_runs),
    "differences": (DifferencesRequest, read_differences),
    "mapping": (MappingRequest, write_mapping),
}


def perform(job: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
    """Do the named piece of work; what goes wrong in a known way is part of the answer."""
    request_type, work = _WORK[job["work"]]
    try:
        return {"result": work(request_type.model_validate(job["request"]), descriptors).model_dump(mode="json")}
    except DataPathError as error:
        records = [asdict(record) for record in error.records]
        return {
            "error": {
                "kind": type(error).__name__,
                "code": error.code,
                "message": error.message,
                "retryable": error.retryable,
                "records": records,
            }
        }
