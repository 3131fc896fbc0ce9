"""Exceptions of a verdict that is not told yet: shown as provisional until it is, closed where it never is.

Those of a verdict that its run took stay when the run fails: who repeats it takes the verdict over, and the exceptions
with it. A verdict that came too late, when its run had failed for want of it, counts as never told. A run that was
cancelled is repeated from its beginning, and its own records can not be sent again: what is open of it closes as well.
The records of a correction are held by the run that it corrects, and wait there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select

from libs.common.context import Context, utc_now
from libs.common.database.pool import Database
from libs.common.database.transaction import Row, Transaction
from libs.common.events.envelope import Event
from libs.common.events.exceptions import ExceptionsVoided
from libs.common.events.runner import RunEnded
from libs.common.ids import derived_id
from services.validator import store
from services.validator.exceptions import changing
from services.validator.exceptions.changing import Change
from services.validator.exceptions.corrections import of_correction
from services.validator.exceptions.tables import exception, resubmission

TASK = "void"
_CHUNK = 5000
_STEPS = 4
_E = exception.c
# what waits has not ended; by its status the engine would read what waits of all tenants
_JUDGING = """
SELECT coalesce(r.run_id, j.run_id) AS run_id, j.request->>'report_id' AS report_id, j.request->>'phase' AS phase,
       r.id AS resubmission_id, j.task
FROM job j LEFT JOIN resubmission r ON r.tenant_id = j.tenant_id AND r.correction_run_id = j.run_id
WHERE j.tenant_id = $1 AND j.ended_at IS NULL AND j.task IN ('validate', 'void')
  AND coalesce(j.request->>'kind', 'report') IN ('report', 'correction')
"""
# also what was told and not taken: the run was over by then
_STOP = """
UPDATE job SET status = 'failed', ended_at = coalesce(ended_at, $3)
WHERE tenant_id = $1 AND run_id = $2 AND task = 'validate'
  AND (status = 'queued' OR (status = 'done' AND request->>'phase' = ANY($4::text[]))) RETURNING request
"""
_LOST = """
SELECT coalesce(l.why, 'The records could not be judged.')
FROM (VALUES (1)) AS one LEFT JOIN lost_run l ON l.tenant_id = $1 AND l.run_id = $2
WHERE (l.cancelled AND $4) OR EXISTS (SELECT FROM job j WHERE j.tenant_id = $1 AND j.run_id = $2 AND j.task = 'validate'
                             AND j.status = 'failed' AND j.request->>'phase' = $3)
"""
_PHASES = ("input", "output")


@dataclass(frozen=True, slots=True)
class Judged:
    """A phase of a run that is being judged, or judged again by the correction run of a resubmission.

    With the task `void` it was judged, its verdict is never told, and what it opened is being closed.
    """

    run_id: UUID
    report_id: str
    phase: str
    resubmission_id: UUID | None = None
    task: str = "validate"


async def judging(tx: Transaction) -> Sequence[Judged]:
    """Return what of the tenant's is being judged: the exceptions of that are provisional."""
    return [Judged(**row) for row in await tx.connection.fetch(_JUDGING, tx.tenant_id)]


async def leave(tx: Transaction, request: Any, why: str, cause: str = "", under: UUID | None = None) -> None:
    """Have the exceptions closed that a validation opened, once for each `cause`: nobody has anything to do about them.

    Of a correction these may have been sent again since: then they are those that are `under` a later resubmission. The caller holds `store.hold_for_losing`, or has opened them itself.
    """
    told = {name: str(request[name]) for name in ("run_id", "report_id", "phase")} | {"reason": why[:2000]}
    run_id = UUID(told["run_id"])
    sent = await of_correction(tx, run_id)
    if sent is not None:
        told |= {"resubmission_id": str(under or sent["id"]), "found_by": str(sent["id"])}
    if not await tx.value(select(select(_E.id).where(*_opened(told), _E.status == "open").exists())):
        return
    job = derived_id(TASK, str(tx.tenant_id), *(told[name] for name in ("run_id", "phase")), cause)
    if await store.add_job(tx, job, run_id, told, task=TASK):
        await tx.poke("validate", request_id=str(job))


def _opened(told: Mapping[str, str]) -> list[ColumnElement[bool]]:
    """Return which exceptions a validation opened: of a correction those that it found, under one resubmission."""
    if "resubmission_id" in told:
        under = told["resubmission_id"]
        found_by = told.get("found_by", under)  # a job may be older than this word
        return [_E.resubmission_id == UUID(under), _E.found_by == UUID(found_by), _E.phase == told["phase"]]
    return [_E.run_id == UUID(told["run_id"]), _E.phase == told["phase"]]


async def on_run_ended(tx: Transaction, event: Event) -> None:
    """Stop judging a run that failed or was cancelled meanwhile: nothing more opens, and no verdict comes too late."""
    data = RunEnded.model_validate(event.data)
    if data.after not in ("failed", "cancelled"):
        return
    why, cancelled = f"The run {_ended(data)}", data.after == "cancelled"
    await store.hold_for_losing(tx)
    await store.lose_run(tx, data.run_id, why, cancelled=cancelled)
    unjudged = data.unjudged if data.kind == "report" else ()
    for row in await tx.connection.fetch(_STOP, tx.tenant_id, data.run_id, tx.context.now, unjudged):
        await leave(tx, row["request"], why)
    for phase in _PHASES if cancelled and data.kind == "report" else ():
        await leave(tx, {"run_id": data.run_id, "report_id": data.report_id, "phase": phase}, why)


async def leave_again(tx: Transaction, rows: Sequence[Row], place: Row, cause: UUID) -> None:
    """Have exceptions closed that `cause` opened again, where they leave nobody anything to do.

    Such are all of a run (and its report) that is lost, and of some `rows` what only a verdict found that is never told.
    The caller holds `store.hold_for_reopening`.
    """
    for phase in _PHASES:
        why = await tx.connection.fetchval(_LOST, tx.tenant_id, place["run_id"], phase, True)
        if why is not None:
            named = {"run_id": place["run_id"], "report_id": place["report_id"], "phase": phase}
            await leave(tx, named, why, str(cause))
    for found_by, phase, under in sorted(
        {(row["found_by"], row["phase"], row["resubmission_id"]) for row in rows if row["found_by"]}
    ):
        if (untold := await untold_by(tx, found_by, phase)) is not None:
            await leave(tx, *untold, f"{cause}/{under}", under)


async def untold_by(tx: Transaction, found_by: UUID, phase: str) -> tuple[dict[str, Any], str] | None:
    """Return what a resubmission's correction was asked to judge of a phase, and why its verdict is never told; else None."""
    sent = await tx.row(select(resubmission).where(resubmission.c.id == found_by))
    if sent is None:
        return None
    named = {"run_id": sent["correction_run_id"], "report_id": sent["report_id"], "phase": phase}
    why = await tx.connection.fetchval(_LOST, tx.tenant_id, named["run_id"], phase, False)
    return None if why is None else (named, why)


def _ended(data: RunEnded) -> str:
    said = "was cancelled" if data.after == "cancelled" else "failed"
    return f"{said}: {data.reason}" if data.reason else f"{said}."


async def void_job(database: Database, context: Context, row: Row, lease: timedelta) -> None:
    """Close some thousand at a time, a few times, and leave the rest to whoever is next: a million would take minutes.

    A worker that dies is replaced by one that closes the rest.
    """
    for _ in range(_STEPS):
        async with database.transaction(replace(context, now=utc_now())) as tx:
            if not await _close_some(tx, row, lease):
                return
    async with database.transaction(replace(context, now=utc_now())) as tx:
        if await store.extend_lease(tx, row["request_id"], row["attempts"], tx.context.now):
            await tx.poke("validate", request_id=str(row["request_id"]))


async def _close_some(tx: Transaction, job: Row, lease: timedelta) -> bool:
    """Close some; false where none is left, or another worker has the job."""
    if not await store.extend_lease(tx, job["request_id"], job["attempts"], tx.context.now + lease):
        return False
    told = job["request"]
    found = (
        select(_E.id, _E.status, _E.resolution)
        .where(*_opened(told), _E.status == "open")
        .order_by(_E.opened_at, _E.id)
        .limit(_CHUNK)
    )
    rows = await tx.rows(found.with_for_update())
    if rows:
        change = Change("closed", {"status": "closed", "resolution": "void"}, told["reason"])
        await changing.apply(tx, rows, change)
        return True
    await _end(tx, job, told)
    return False


async def _end(tx: Transaction, job: Row, told: dict[str, str]) -> None:
    await store.end_job(tx, job["request_id"], job["attempts"], "done")
    run_id = UUID(told["run_id"])
    data = ExceptionsVoided(
        run_id=run_id,
        report_id=UUID(told["report_id"]),
        phase="input" if told["phase"] == "input" else "output",
        records=await tx.value(select(func.count()).where(*_opened(told), _E.resolution == "void")),
        reason=told["reason"],
    )
    await tx.emit("exception.voided", data, entity=run_id)
