"""Asking for a verdict: what the validator may read, where it may write, until when."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from libs.common.database.transaction import Row, Transaction
from libs.common.events.runner import ObjectReference, ValidationRequested, VersionReference
from libs.common.ids import derived_id
from libs.common.objects import Sealed
from libs.common.vocabulary.transforms import Transform
from services.runner.commands.verdicts import granted_prefix
from services.runner.domain.steps import PHASES
from services.runner.steps.job import Job
from services.runner.store import parts, runs


@dataclass(frozen=True, slots=True)
class Past:
    """What a validation looks back at: the extract before its own; of a backtest also when the past run was judged."""

    previous: ObjectReference | None = None
    judged_at: datetime | None = None


async def look_back(tx: Transaction, job: Job, step: str) -> Past:
    """Return what counts of the past. A backtest sees what the past run saw: a later run or decision is no difference.

    Rules about history compare with the extract of the last run for an earlier business date.
    """
    judged_at = await _judged_at(tx, job.run, PHASES[step]) if job.run["kind"] == "backtest" else None
    if PHASES[step] != "input":
        return Past(judged_at=judged_at)
    found = await runs.previous_extract(tx, job.run["report_id"], job.run["business_date"], judged_at)
    return Past(ObjectReference.model_validate(found) if found else None, judged_at)


async def _judged_at(tx: Transaction, run: Row, phase: str) -> datetime | None:
    """Return when a verdict was asked for in the past run; of a phase that nothing judged then, as of its input."""
    asked = await parts.validations(tx, run["parent_id"])
    found = asked.get(phase) or asked.get("input")
    return found["requested_at"] if found else None


def request_for(job: Job, step: str, dataset: Sealed, rows: int, past: Past) -> ValidationRequested:
    """Return the signed request for a validation step over a sealed dataset."""
    run, report, tools, previous = job.run, job.plan.report, job.tools, past.previous
    phase = PHASES[step]
    reference = ObjectReference(**asdict(dataset))
    origins = _origins(job) if phase == "output" else None
    held = held_by_transform(job) if phase == "output" else None
    grant = tools.signer.grant(
        run["tenant_id"],
        run["id"],
        phase,
        reads=(reference, *(each for each in (previous, origins, held) if each)),
        writes=granted_prefix(run, step),
        expires=tools.now() + timedelta(seconds=tools.settings.validation_timeout_seconds),
    )
    drafts = (VersionReference(**run["draft"]),) if run["draft"] else ()
    schema = report.source_schema_id if phase == "input" else report.target_schema_id
    return ValidationRequested(
        run_id=run["id"],
        request_id=derived_id("validation", str(run["id"]), phase, str(job.claim.fence)),
        phase="input" if phase == "input" else "output",
        report_id=run["report_id"],
        business_date=run["business_date"],
        as_of=run["as_of"],
        schema_version=job.plan.reference("schema", schema),
        rules=report.rules,
        rules_of=run["rules_of"],
        business_key=report.business_key,
        dataset=reference,
        rows=rows,
        grant=grant,
        previous=previous,
        kind=run["kind"],
        drafts=drafts,
        column_types=job.facts("extract").get("column_types") or {} if phase == "input" else {},
        yields="one_to_one" if isinstance(report.transform, Transform) else report.transform.yields,
        origins=origins,
        held=held,
        judged_at=past.judged_at,
    )


def held_by_transform(job: Job) -> ObjectReference | None:
    """Return the failures of the records that the transform holds; those of another run's are known already."""
    sealed = job.sealed("transform", "faults")
    if sealed is None or job.claim.done["transform"]["reused_from"] is not None:
        return None
    return ObjectReference(**asdict(sealed))


def _origins(job: Job) -> ObjectReference | None:
    sealed = job.sealed("transform", "origins")
    return ObjectReference(**asdict(sealed)) if sealed else None
