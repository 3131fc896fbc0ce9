"""A transform that is a report's own code: records made ready, the validator asked, its rows taken into the ledger."""

import hashlib
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from libs.common.database.transaction import Row
from libs.common.events.runner import ObjectReference, TransformRequested
from libs.common.events.validator import TransformCompleted
from libs.common.ids import derived_id
from libs.common.objects import Sealed
from libs.common.vocabulary.transforms import PythonTransform, SqlTransform, Transform
from services.runner.commands.results import StepResult
from services.runner.commands.verdicts import granted_prefix
from services.runner.domain.ledger import Balance
from services.runner.engines.errors import TransformError
from services.runner.engines.requests import Folded, FoldRequest, SourceRequest
from services.runner.engines.steps import fold_rows, ready_records
from services.runner.steps.job import Job
from services.runner.steps.transform import judged


def runs_code(job: Job) -> bool:
    """Say whether the report's transform is code of its own."""
    return not isinstance(job.plan.report.transform, Transform)


async def make_ready(job: Job) -> tuple[Sealed, int, int]:
    """Seal the records that the code gets; return the file, its rows, and how many records are held.

    Raises:
        DataPathError: `blocking-records` where the report stops at held ones; see `run_ready`.
    """
    held = judged(job)
    place = job.place("ready")
    request = await _source(job, place / "records.parquet")
    seconds = job.tools.settings.step_timeout_seconds
    made = await job.patiently(lambda: ready_records(job.tools.jobs, request, timeout_seconds=seconds))
    if made.held != held:
        text = f"The validator holds {held} records, but its failures name {made.held}."
        raise TransformError("unbalanced", text)
    return await job.workspace.keep(job.key("transform", "ready.parquet"), made.output.path), made.output.rows, held


async def _source(job: Job, output: Path) -> SourceRequest:
    extract = await job.output("extract", "extract")
    if extract is None:
        raise TransformError("extract-missing", "The sealed extract is gone.")
    failures = await job.output("validate", "failures")
    return SourceRequest(
        extract=extract,
        column_types=job.facts("extract")["column_types"],
        source_schema=await job.plan.source_schema(),
        business_key=job.plan.report.business_key,
        failures=(failures,) if failures else (),
        corrections=await job.output("validate", "corrections"),
        output=output,
        memory=job.tools.settings.engine_memory,
        threads=job.tools.settings.engine_threads,
    )


def request_for(job: Job, dataset: Sealed, rows: int) -> TransformRequested:
    """Return the signed request to run the report's code over the records."""
    run, report, tools = job.run, job.plan.report, job.tools
    reference = ObjectReference(**asdict(dataset))
    grant = tools.signer.grant(
        run["tenant_id"],
        run["id"],
        "transform",
        reads=(reference,),
        writes=granted_prefix(run, "transform"),
        expires=tools.now() + timedelta(seconds=tools.settings.transform_timeout_seconds),
    )
    return TransformRequested(
        run_id=run["id"],
        request_id=derived_id("transform", str(run["id"]), str(job.claim.fence)),
        report_id=run["report_id"],
        business_date=run["business_date"],
        as_of=run["as_of"],
        kind=_code(job).kind,
        code_sha256=code_hash(_code(job)),
        report=job.plan.reference("report", run["report_id"]),
        source_schema=job.plan.reference("schema", report.source_schema_id),
        target_schema=job.plan.reference("schema", report.target_schema_id),
        mappings=tuple(job.plan.reference("mapping", id_) for id_ in dict.fromkeys(report.mappings.values())),
        dataset=reference,
        rows=rows,
        grant=grant,
    )


def _code(job: Job) -> SqlTransform | PythonTransform:
    transform = job.plan.report.transform
    if isinstance(transform, Transform):
        raise TransformError("no-code", "The report's transform is no code.")
    return transform


def code_hash(transform: SqlTransform | PythonTransform) -> str:
    """Return the SHA-256 of the code's text, in hex."""
    text = transform.query if isinstance(transform, SqlTransform) else transform.code
    return hashlib.sha256(text.encode()).hexdigest()


async def fold(job: Job, answer: Row) -> StepResult:
    """Take the rows that the code made into the ledger.

    Raises:
        DataPathError: see `run_fold`.
    """
    completed = TransformCompleted(**answer["result"], run_id=job.run["id"], request_id=answer["request_id"])
    request = await _fold_request(job, answer, completed, job.place("transform"))
    seconds = job.tools.settings.step_timeout_seconds
    made = await job.patiently(lambda: fold_rows(job.tools.jobs, request, timeout_seconds=seconds))
    outputs = {"records": await job.workspace.keep(job.key("transform", "records.parquet"), made.output.path)}
    if made.origins is not None:
        outputs["origins"] = await job.workspace.keep(job.key("transform", "origins.parquet"), made.origins.path)
    if made.dropped.rows:
        outputs["dropped"] = await job.workspace.keep(job.key("transform", "dropped.parquet"), made.dropped.path)
    facts = {"rows": made.output.rows}
    return StepResult("transform", answer["requested_at"], _balance(made), outputs, facts, "records")


def _balance(made: Folded) -> Balance:
    rows, used, dropped = made.output.rows, made.used, made.dropped.rows
    return Balance(
        records_in=used + dropped,
        created=max(0, rows - used),
        records_out=rows,
        filtered=dropped,
        merged=max(0, used - rows),
    )


async def _fold_request(job: Job, answer: Row, completed: TransformCompleted, place: Path) -> FoldRequest:
    async def fetched(reference: ObjectReference | None) -> Path | None:
        return await job.workspace.file(Sealed(**reference.model_dump())) if reference else None

    rows = await fetched(completed.output)
    if rows is None:
        raise TransformError("bad-rows", "The transform's rows are gone.")
    failures = await job.output("validate", "failures")
    return FoldRequest(
        records=await job.workspace.file(Sealed(**answer["dataset"])),
        rows_in=int(job.facts("extract")["rows"]),
        rows=rows,
        trace=await fetched(completed.trace),
        drops=await fetched(completed.drops),
        failures=(failures,) if failures else (),
        target_schema=await job.plan.target_schema(),
        output=place / "records.parquet",
        origins=place / "origins.parquet",
        dropped=place / "dropped.parquet",
        memory=job.tools.settings.engine_memory,
        threads=job.tools.settings.engine_threads,
    )
