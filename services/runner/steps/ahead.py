"""Work before its turn. It is taken up only where it rests on what then holds: see `Job.basis`."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from libs.common.vocabulary.reports import XmlOutput
from services.runner.commands.results import StepResult
from services.runner.engines.drafts import Draft, DraftRequest
from services.runner.steps.coding import runs_code
from services.runner.steps.job import Job
from services.runner.steps.render import keep_rendered, requests_for
from services.runner.steps.transform import keep_transformed, mapping_requests, request_for

Step = Callable[[Job], Coroutine[Any, Any, StepResult]]

_MOST_ENTRIES = 1000
_NOTHING: dict[str, Any] = {"outputs": {}, "facts": {}}
_CLEAN = {"verdict": {"held": 0}}


async def draft_request(job: Job, extract: Path) -> DraftRequest | None:
    """Return what to make of an extract while it is at hand, where that is as quickly done as left."""
    outputs = job.plan.report.outputs
    if job.run["kind"] != "report" or runs_code(job) or any(isinstance(output, XmlOutput) for output in outputs):
        return None
    transform = await request_for(job, extract, {})
    mappings = await mapping_requests(job, transform.output.parent)
    if sum(len(each.mapping.entries) for each in mappings) > _MOST_ENTRIES:
        return None
    artifacts = await requests_for(job, transform.output)
    return DraftRequest(mappings=tuple(mappings), transform=transform, artifacts=tuple(artifacts))


def begin_draft(job: Job, extracted: StepResult) -> None:
    """Begin what follows the verdict on an extract with the draft of it, which supposes that all records are clean."""
    if (draft := extracted.draft) is None:
        return
    done = {**_after(job, extracted).claim.done, "validate": _NOTHING}
    later = replace(job, claim=replace(job.claim, done=done, verdicts={"input": _CLEAN}))
    job.workspace.begin("transform", later.basis, lambda branch: _keep(replace(later, workspace=branch), draft))


async def _keep(job: Job, draft: Draft) -> StepResult:
    made = await keep_transformed(job, job.tools.now(), 0, draft.transformed)
    later = _after(job, made)
    if draft.artifacts:
        job.workspace.begin(
            "render",
            later.basis,
            lambda branch: keep_rendered(replace(later, workspace=branch), job.tools.now(), draft.artifacts),
        )
    return made


async def made_or_begun_render(job: Job, transformed: StepResult, render: Step) -> Sequence[StepResult]:
    """Return the rendering of what a transform made, where it is there; otherwise begin it, before that is sealed."""
    later = _after(job, transformed)
    job.workspace.begin("render", later.basis, lambda branch: render(replace(later, workspace=branch)))
    if job.workspace.is_made("render", later.basis) and (made := begun(later, "render")) is not None:
        return [await made]
    job.workspace.release("render", later.basis)
    return ()


def begun(job: Job, step: str) -> Coroutine[Any, Any, StepResult] | None:
    """Take up a step that has begun on what now holds, or None; its time is counted from now."""
    task = job.workspace.begun(step, job.basis)
    return _finished(task, job.tools.now()) if task else None


async def _finished(task: "asyncio.Task[StepResult]", started: datetime) -> StepResult:
    return replace(await task, started_at=started)


def _after(job: Job, result: StepResult) -> Job:
    outputs = {name: asdict(sealed) for name, sealed in result.outputs.items()}
    done = {**job.claim.done, result.step: {"outputs": outputs, "facts": result.facts}}
    return replace(job, claim=replace(job.claim, done=done))
