"""What came of records that were sent again: exceptions open with the new verdict, or close."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pyarrow.parquet as pq
from sqlalchemy import select, update

from libs.common.context import Context
from libs.common.database.transaction import Row, Transaction
from libs.common.events.envelope import Event
from libs.common.events.exceptions import ResubmissionEnded
from libs.common.events.runner import RunEnded
from libs.common.ids import derived_id
from services.validator import store
from services.validator.exceptions import changing, tally, unsealed
from services.validator.exceptions.changing import Change
from services.validator.exceptions.corrections import of_correction, places
from services.validator.exceptions.evidence import evidence_of, terms_of
from services.validator.exceptions.opening import Causes, Origin, add_terms, open_some
from services.validator.exceptions.tables import exception, resubmission

_E, _S = exception.c, resubmission.c
_MARK = """
UPDATE exception SET resubmission_id = $5
WHERE tenant_id = $1 AND run_id = $2 AND phase = $3 AND ordinal = ANY($4::bigint[]) AND resubmission_id IS DISTINCT FROM $5
  AND status = 'open'
"""
# but for what closes by itself: a verdict that is never told
_OPENED = """
SELECT id FROM exception
WHERE tenant_id = $1 AND resubmission_id = $2 AND status = 'open'
  AND (found_by IS DISTINCT FROM $2
       OR phase NOT IN (SELECT request->>'phase' FROM job WHERE tenant_id = $1 AND run_id = $3 AND task = 'void'))
ORDER BY id
"""
_MOST_IDS = 200


async def open_again(tx: Transaction, *, sent: Row, origin: Origin, causes: Causes, rows: list[dict[str, Any]]) -> None:
    """Open exceptions of records that a correction holds again, with what it says of them; once, if asked again."""
    here = [{**row, "_ordinal": sent["ordinals"][row["_ordinal"] - 1]} for row in rows]
    known = await _known(tx, origin, here)
    untold = await _untold(tx, origin, known.values())
    for row in here:
        found = known.get((row["_ordinal"], row["rule_id"]))
        if found is not None and not _is_done(found, sent):
            is_mine = found["status"] == "closed" or found["found_by"] in untold
            await _reopen(tx, found, row, causes, sent["id"] if is_mine else found["found_by"])
    fresh = [row for row in here if (row["_ordinal"], row["rule_id"]) not in known]
    await open_some(tx, origin=origin, causes=causes, rows=fresh)
    opened = [row["_ordinal"] for row in here]
    await tx.connection.execute(_MARK, tx.tenant_id, origin.run_id, origin.phase, opened, sent["id"])


def _is_done(row: Row, sent: Row) -> bool:
    """Say whether a worker that died had opened an exception of this correction before."""
    return bool(row["resubmission_id"] == sent["id"] and row["status"] != "resubmitted")


async def _known(tx: Transaction, origin: Origin, rows: Sequence[dict[str, Any]]) -> dict[tuple[int, str], Row]:
    found = await tx.connection.fetch(
        "SELECT * FROM exception WHERE tenant_id = $1 AND run_id = $2 AND phase = $3 AND ordinal = ANY($4::bigint[]) "
        "ORDER BY id FOR UPDATE",
        *(tx.tenant_id, origin.run_id, origin.phase, [row["_ordinal"] for row in rows]),
    )
    return {(row["ordinal"], row["rule_id"]): row for row in found}


async def _untold(tx: Transaction, origin: Origin, rows: Iterable[Row]) -> set[UUID]:
    """Return which resubmissions found exceptions by a verdict that is never told: nothing but this one's holds them."""
    found = {row["found_by"] for row in rows} - {None, origin.found_by}
    return {each for each in found if await unsealed.untold_by(tx, each, origin.phase)}


async def _reopen(tx: Transaction, row: Row, failure: dict[str, Any], causes: Causes, found_by: UUID | None) -> None:
    """Give an exception the new verdict; it keeps its age, its assignee and its thread."""
    evidence, fields = evidence_of(failure["rule_id"], failure["fields"]), orjson.loads(failure["fields"])
    verdict = {name: failure[name] for name in ("rule_version", "outcome", "message")}
    verdict |= {"fields": fields, "evidence": evidence, "grouped": causes.takes(failure["rule_id"], evidence)}
    verdict |= {"found_by": found_by}
    tally.count(tx, row, {row["status"]: -1})
    tally.count(tx, {**row, **verdict}, {"open": 1})
    terms = list(terms_of(fields))
    await add_terms(tx, row["opened_at"], terms, [row["id"]] * len(terms))
    await tx.execute(update(exception).where(_E.id == row["id"]).values(**verdict, status="open", resolution=None))
    values = {"status": "open", "decision_id": None, "resolution": None, "message": failure["message"]}
    await changing.apply(tx, [{**row, "status": "open"}], Change("reopened", values))


async def on_run_ended(tx: Transaction, event: Event) -> None:
    """Queue what follows from the end of a correction."""
    data = RunEnded.model_validate(event.data)
    if data.kind != "correction":
        return
    sent = await of_correction(tx, data.run_id)
    if sent is None or sent["status"] == "ended":
        return
    job = derived_id("conclude", str(sent["id"]))
    if await store.add_job(tx, job, data.run_id, data.model_dump(mode="json"), task="conclude"):
        await tx.poke("validate", request_id=str(job))


@dataclass(frozen=True, slots=True)
class Ending:
    """How a correction run ended; `left` are its records that did not go out: place → disposition."""

    run: RunEnded
    left: Mapping[int, str]


def read_left(file: Path | None) -> dict[int, str]:
    """Return what the runner's file says of the records that did not go out; who is held is held, whatever else."""
    found: dict[int, str] = {}
    if file is None:
        return found
    for batch in pq.ParquetFile(file).iter_batches(columns=["_ordinal", "disposition"]):
        for row in batch.to_pylist():
            if found.get(row["_ordinal"]) != "held":
                found[row["_ordinal"]] = row["disposition"]
    return found


async def conclude_job(runtime: Any, context: Context, row: Row) -> None:
    """See what became of records that were sent again; a worker that dies is replaced when its lease is over."""
    run = RunEnded.model_validate(row["request"])
    context = replace(context, correlation_id=row["correlation_id"], traceparent=row["traceparent"])
    with tempfile.TemporaryDirectory(prefix="correction-", dir=runtime.settings.scratch) as scratch:
        file = Path(scratch) / "left.parquet" if run.not_out else None
        if run.not_out and file:
            await runtime.objects.fetch(run.not_out.key, run.not_out.sha256, file)
        ending = Ending(run, read_left(file))
    async with runtime.database.transaction(context) as tx:
        await conclude(tx, row, row["attempts"], ending)


async def conclude(tx: Transaction, job: Row, attempt: int, ending: Ending) -> bool:
    """Close or open what was resubmitted; false where another worker was first."""
    await store.hold_for_reopening(tx)
    if not await store.end_job(tx, job["request_id"], attempt, "done"):
        return False
    sent = await of_correction(tx, ending.run.run_id)
    if sent is None or sent["status"] == "ended":
        return False
    waiting = (_E.resubmission_id == sent["id"], _E.status == "resubmitted")
    rows = await tx.rows(select(exception).where(*waiting).order_by(_E.id).with_for_update())
    here = places(sent)
    changes: dict[tuple[str, str | None, str], list[Row]] = {}
    for row in rows:
        changes.setdefault(_fate(ending, here[row["ordinal"]]), []).append(row)
    for (status, resolution, why), some in sorted(changes.items(), key=str):
        values = {"status": status, "resolution": resolution}
        if status == "open":
            values["decision_id"] = None
        await changing.apply(tx, some, Change("closed" if status == "closed" else "reopened", values, why))
    closed = [row["id"] for (status, _, _), some in changes.items() if status == "closed" for row in some]
    await _end(tx, sent, ending, closed)
    await unsealed.leave_again(tx, rows, sent, sent["id"])
    return True


def _fate(ending: Ending, place: int) -> tuple[str, str | None, str]:
    """Return status, resolution and reason of an exception that the correction's validation did not open again."""
    if not ending.run.delivered:
        return "open", None, f"The correction run {ending.run.after}: {ending.run.reason}"[:2000]
    disposition = ending.left.get(place, "")
    if disposition == "held":  # by a rule, or by a value that does not fit the target: that has an exception of its own
        return "closed", "passed", "The record does not fail this rule any more; another holds it."
    return "closed", "filtered" if disposition else "reported", ""


async def _end(tx: Transaction, sent: Row, ending: Ending, closed: list[UUID]) -> None:
    found = await tx.connection.fetch(_OPENED, tx.tenant_id, sent["id"], sent["correction_run_id"])
    opened = [row["id"] for row in found]
    values = {
        "status": "ended",
        "run_status": ending.run.after,
        "reported": len(closed),
        "reopened": len(opened),
        "ended_at": tx.context.now,
    }
    await tx.execute(update(resubmission).where(_S.id == sent["id"]).values(**values))
    data = ResubmissionEnded(
        resubmission_id=sent["id"],
        run_id=sent["run_id"],
        correction_run_id=sent["correction_run_id"],
        run_status=ending.run.after,
        closed=len(closed),
        reopened=len(opened),
        closed_ids=tuple(closed[:_MOST_IDS]),
        reopened_ids=tuple(opened[:_MOST_IDS]),
    )
    await tx.emit("resubmission.ended", data, entity=sent["id"])
