"""The transform and the artifacts as the runner calls them: each in a child of its own."""

from libs.common.jail import JobServer
from services.runner.artifacts.requests import Artifact, RenderRequest
from services.runner.engines.requests import Compared, CompareRequest, Transformed, TransformRequest
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
        reads=[*request.before.files, *request.after.files],
        writes=[request.target.parent],
        timeout_seconds=timeout_seconds,
    )
