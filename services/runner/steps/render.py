import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from libs.common.ids import derived_id
from libs.common.objects import Sealed
from libs.common.vocabulary.reports import Output, XmlOutput
from libs.common.vocabulary.xsd import XsdSetSpec
from services.runner.artifacts.placeholders import Hole, parse_parts
from services.runner.artifacts.requests import Artifact, RenderRequest
from services.runner.commands.results import RenderedFile, StepResult
from services.runner.domain.ledger import Balance
from services.runner.engines.errors import RenderError
from services.runner.engines.steps import render_artifact
from services.runner.library import XSD_SET
from services.runner.records.calls import collect_not_out
from services.runner.records.requests import NotOutRequest
from services.runner.steps.job import Job


async def render(job: Job) -> StepResult:
    """Write the report's artifacts, and the file of all records that are not in them.

    Raises:
        DataPathError: see `services.runner.artifacts.render.render`; `unbalanced` when an artifact lacks records.
    """
    started = job.tools.now()
    transformed = await job.output("transform", "records")
    if transformed is None:
        raise RenderError("records-missing", "The sealed records are gone.")
    requests = await requests_for(job, transformed)
    made = await asyncio.gather(*(_artifact(job, request, number) for number, request in enumerate(requests)))
    return await _result(job, started, made)


async def keep_rendered(job: Job, started: datetime, artifacts: Sequence[Artifact]) -> StepResult:
    """Seal artifacts that are made already, and the file of all records that are not in them.

    Raises:
        DataPathError: `unbalanced` when an artifact lacks records.
    """
    made = [await _keep(job, artifact, number) for number, artifact in enumerate(artifacts)]
    return await _result(job, started, made)


async def _result(job: Job, started: datetime, made: Sequence[RenderedFile]) -> StepResult:
    records = _expected(job)
    short = [file.name for file in made if file.records != records]
    if short:
        raise RenderError("unbalanced", f"{', '.join(short)} does not hold the {records} records that are to go out.")
    return StepResult(
        step="render",
        started_at=started,
        balance=Balance(records_in=records, records_out=records),
        outputs=await _not_out(job),
        facts={"rows": records},
        main="records",
        artifacts=tuple(made),
        destinations=job.plan.report.destinations,
    )


def _expected(job: Job) -> int:
    rows = int(job.facts("transform")["rows"])
    verdict = job.claim.verdicts.get("output")
    return rows - int(verdict["verdict"]["held"]) if verdict else rows


async def _artifact(job: Job, request: RenderRequest, number: int) -> RenderedFile:
    timeout = job.tools.settings.step_timeout_seconds
    made = await job.patiently(lambda: render_artifact(job.tools.jobs, request, timeout_seconds=timeout))
    return await _keep(job, made, number)


async def _keep(job: Job, made: Artifact, number: int) -> RenderedFile:
    output = job.plan.report.outputs[number]
    name = file_name(output.name, job.run["report_name"], job.run["business_date"].isoformat())
    if job.run["kind"] == "correction":
        name = corrected_name(name, job.run["id"].hex)
    sealed = await job.workspace.keep(job.key("render", f"{number}.{output.format}"), made.path)
    id_ = derived_id("artifact", str(job.run["id"]), name)
    return RenderedFile(id=id_, name=name, format=output.format, sealed=sealed, records=made.rows)


def file_name(template: str, report: str, business_date: str) -> str:
    """Return an artifact's file name: `{report}` and `{business_date}` filled in.

    Raises:
        RenderError: `template-refused` for another placeholder.
    """
    values = {"report": report, "business_date": business_date}
    parts = parse_parts(template, values)
    name = "".join(values[part.name] if isinstance(part, Hole) else part for part in parts)
    return name.replace("/", "_").replace("\\", "_")


def corrected_name(name: str, run: str) -> str:
    """Return the name of a correction's file: beside the one that it corrects, each correction's its own."""
    stem, dot, suffix = name.rpartition(".")
    return f"{stem or suffix}.correction-{run[:8]}{dot if stem else ''}{suffix if stem else ''}"


async def requests_for(job: Job, transformed: Path) -> list[RenderRequest]:
    """Return the requests for the report's artifacts of transformed records, in a place of their own."""
    place, requests = job.place("render"), []
    for number, output in enumerate(job.plan.report.outputs):
        folder = place / str(number)  # a folder each: a child may write in its own only
        folder.mkdir()
        requests.append(await _request(job, output, transformed, folder / "artifact"))
    return requests


async def _request(job: Job, output: Output, transformed: Path, target: Path) -> RenderRequest:
    failures = await job.output("validate_output", "failures")
    return RenderRequest(
        transformed=transformed,
        target_schema=await job.plan.target_schema(),
        failures=(failures,) if failures else (),
        output=output,
        xsd_set=await _xsd_set(job, output),
        target=target,
        report=job.run["report_name"],
        run_id=job.run["id"].hex,  # 32 characters: ISO 20022 message ids take 35
        business_date=job.run["business_date"],
        as_of=job.run["as_of"],
        created=job.run["created_at"],
        memory=job.tools.settings.engine_memory,
    )


async def _xsd_set(job: Job, output: Output) -> XsdSetSpec | None:
    if not isinstance(output, XmlOutput) or output.xsd_set_id is None:
        return None
    return await job.plan.spec("xsd_set", output.xsd_set_id, XSD_SET)


async def _not_out(job: Job) -> dict[str, Sealed]:
    target = job.place("not-out") / "not-out.parquet"
    request = NotOutRequest(
        failures=await job.output("validate", "failures"),
        dispositions=await job.output("transform", "dispositions"),
        faults=await job.output("transform", "faults"),
        output_failures=await job.output("validate_output", "failures"),
        dropped=await job.output("transform", "dropped"),
        origins=await job.output("transform", "origins"),
        target=target,
    )
    if not request.files:
        return {}
    await collect_not_out(job.tools.jobs, request)
    return {"records": await job.workspace.keep(job.key("render", target.name), target)}
