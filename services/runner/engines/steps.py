"""The transform and the artifacts as the runner calls them: each in a child of its own."""

from libs.common.jail import JobServer
from services.runner.artifacts.requests import Artifact, RenderRequest
from services.runner.engines.requests import (
    Compared,
    CompareRequest,
    Folded,
    FoldRequest,
    Readied,
    SourceRequest,
    Transformed,
    TransformRequest,
)
from services.runner.engines.workshop import run_in_child


async def transform_records(jobs: JobServer, request: TransformRequest, *, timeout_seconds: float) -> Transformed:
    """Transform in a child; see `services.runner.engines.transform.run_transform`."""
    corrections = [request.corrections] if request.corrections else []
    mappings = [file.path for file in request.mappings.values()]
    return await run_in_child(
        jobs,
        "transform",
        request,
        Transformed,
        reads=[request.extract, *request.failures, *corrections, *mappings],
        writes=[request.output.parent, request.dispositions.parent, request.faults.parent],
        timeout_seconds=timeout_seconds,
    )


async def ready_records(jobs: JobServer, request: SourceRequest, *, timeout_seconds: float) -> Readied:
    """Make records ready in a child; see `services.runner.engines.readying.run_ready`."""
    corrections = [request.corrections] if request.corrections else []
    return await run_in_child(
        jobs,
        "ready",
        request,
        Readied,
        reads=[request.extract, *request.failures, *corrections],
        writes=[request.output.parent],
        timeout_seconds=timeout_seconds,
    )


async def fold_rows(jobs: JobServer, request: FoldRequest, *, timeout_seconds: float) -> Folded:
    """Take rows into the ledger in a child; see `services.runner.engines.folding.run_fold`."""
    chosen = (request.records, request.rows, request.trace, request.drops, *request.failures)
    return await run_in_child(
        jobs,
        "fold",
        request,
        Folded,
        reads=[path for path in chosen if path is not None],
        writes=[request.output.parent],
        timeout_seconds=timeout_seconds,
    )


async def render_artifact(jobs: JobServer, request: RenderRequest, *, timeout_seconds: float) -> Artifact:
    """Render in a child; see `services.runner.artifacts.render.render`."""
    return await run_in_child(
        jobs,
        "render",
        request,
        Artifact,
        reads=[request.transformed, *request.failures],
        writes=[request.target.parent],
        timeout_seconds=timeout_seconds,
    )


async def compare_runs(jobs: JobServer, request: CompareRequest, *, timeout_seconds: float) -> Compared:
    """Compare in a child; see `services.runner.engines.compare.compare_runs`."""
    return await run_in_child(
        jobs,
        "compare",
        request,
        Compared,
        reads=[*request.before.reads, *request.after.reads],
        writes=[request.target.parent],
        timeout_seconds=timeout_seconds,
    )
