from pathlib import Path

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
    place = job.place("transform")
    request = await _request(job, place)
    settings = job.tools.settings
    made = await job.patiently(
        lambda: transform_records(job.tools.jobs, request, timeout_seconds=settings.step_timeout_seconds)
    )
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


async def _request(job: Job, place: Path) -> TransformRequest:
    report, run = job.plan.report, job.run
    extract = await job.output("extract", "extract")
    if extract is None:
        raise TransformError("extract-missing", "The sealed extract is gone.")
    failures = await job.output("validate", "failures")
    return TransformRequest(
        extract=extract,
        column_types=job.facts("extract")["column_types"],
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


async def _mappings(job: Job, place: Path) -> dict[str, MappingFile]:
    files = {}
    for alias, id_ in job.plan.report.mappings.items():
        spec = await job.plan.spec("mapping", id_, MAPPING)
        path = place / f"mapping-{alias}.parquet"
        request = MappingRequest(mapping=spec, business_date=job.run["business_date"], target=path)
        await lay_out_mapping(job.tools.jobs, request)
        files[alias] = MappingFile(path=path, columns=spec.columns)
    return files
