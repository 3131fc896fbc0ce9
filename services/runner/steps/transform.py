from datetime import datetime
from pathlib import Path

from libs.common.vocabulary.mappings import MappingSpec
from libs.common.vocabulary.transforms import Transform
from services.runner.commands.results import StepResult
from services.runner.domain.ledger import Balance
from services.runner.engines.errors import TransformError
from services.runner.engines.requests import MappingFile, Transformed, TransformRequest
from services.runner.engines.steps import transform_records
from services.runner.library import MAPPING
from services.runner.records.calls import lay_out_mapping
from services.runner.records.requests import MappingRequest
from services.runner.steps.job import Job


async def transform(job: Job) -> StepResult:
    """Turn the records that are not held into target records.

    Raises:
        DataPathError: `blocking-records` where the report stops at held ones; else see `run_transform`.
    """
    started = job.tools.now()
    expected = judged(job)
    extract = await job.output("extract", "extract")
    if extract is None:
        raise TransformError("extract-missing", "The sealed extract is gone.")
    request = await request_for(job, extract, job.facts("extract")["column_types"])
    for mapping in await mapping_requests(job, request.output.parent):
        await lay_out_mapping(job.tools.jobs, mapping)
    seconds = job.tools.settings.step_timeout_seconds
    made = await job.patiently(lambda: transform_records(job.tools.jobs, request, timeout_seconds=seconds))
    return await keep_transformed(job, started, expected, made)


async def keep_transformed(job: Job, started: datetime, expected: int, made: Transformed) -> StepResult:
    """Seal what a transform made; `expected` is the number of records that the input rules hold.

    Raises:
        TransformError: `unbalanced` where it was another number.
    """
    balance = _balance(expected, made)
    files = {"records": made.output, "dispositions": made.dispositions, "faults": made.faults}
    kept = {name: file for name, file in files.items() if name == "records" or file.rows}
    outputs = {
        name: await job.workspace.keep(job.key("transform", file.path.name), file.path) for name, file in kept.items()
    }
    return StepResult("transform", started, balance, outputs, {"rows": made.output.rows}, "records")


def judged(job: Job) -> int:
    """Return the number of records that the input rules hold."""
    counted = job.claim.verdicts["input"]["verdict"]
    held = int(counted["held"])
    if held and job.plan.report.on_blocking == "stop":
        text = f"{held} records break blocking rules, and the report is to stop then."
        raise TransformError("blocking-records", text)
    return held


def _balance(held: int, made: Transformed) -> Balance:
    if made.held != held:
        text = f"The validator holds {held} records, but its failures name {made.held}."
        raise TransformError("unbalanced", text)
    return Balance(
        records_in=made.rows_in - held, records_out=made.output.rows, held=made.unfit, filtered=made.filtered
    )


async def request_for(job: Job, extract: Path, column_types: dict[str, str]) -> TransformRequest:
    """Return the request to transform an extract, with a place of its own; its mappings are still to be laid out."""
    report, run, place = job.plan.report, job.run, job.place("transform")
    failures = await job.output("validate", "failures")
    return TransformRequest(
        extract=extract,
        column_types=column_types,
        source_schema=await job.plan.source_schema(),
        target_schema=await job.plan.target_schema(),
        business_key=report.business_key,
        transform=_expressions(job),
        mappings=await _mappings(job, place),
        failures=(failures,) if failures else (),
        corrections=await job.output("validate", "corrections"),
        business_date=run["business_date"],
        as_of=run["as_of"],
        output=place / "records.parquet",
        dispositions=place / "dispositions.parquet",
        faults=place / "faults.parquet",
        memory=job.tools.settings.engine_memory,
        threads=job.tools.settings.engine_threads,
    )


def _expressions(job: Job) -> Transform:
    transform = job.plan.report.transform
    if not isinstance(transform, Transform):
        raise TransformError("not-expressions", "The report's transform is code of its own.")
    return transform


async def mapping_requests(job: Job, place: Path) -> list[MappingRequest]:
    """Return the requests to lay out the report's mappings where `request_for` expects them."""
    date, specs = job.run["business_date"], await _specs(job)
    return [MappingRequest(mapping=spec, business_date=date, target=_file(place, alias)) for alias, spec in specs]


async def _mappings(job: Job, place: Path) -> dict[str, MappingFile]:
    return {alias: MappingFile(path=_file(place, alias), columns=spec.columns) for alias, spec in await _specs(job)}


async def _specs(job: Job) -> list[tuple[str, MappingSpec]]:
    mappings = job.plan.report.mappings.items()
    return [(alias, await job.plan.spec("mapping", id_, MAPPING)) for alias, id_ in mappings]


def _file(place: Path, alias: str) -> Path:
    return place / f"mapping-{alias}.parquet"
