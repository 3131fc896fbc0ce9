"""What people decide of exceptions: proposed, approved by another where the tenant wants that, and one day over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict, Forbidden, NotFound
from libs.common.events.exceptions import DecisionChanged
from libs.common.http.door import require_revision
from libs.common.ids import uuid7
from services.validator import store
from services.validator.exceptions import changing, resting, unsealed
from services.validator.exceptions.changing import Change
from services.validator.exceptions.makers import makers
from services.validator.exceptions.policy import policy_of
from services.validator.exceptions.tables import decision

Kind = Literal["amendment", "waiver"]
Status = Literal["proposed", "active", "retired", "conflict", "withdrawn", "expired"]
_D = decision.c
STATUS_OF = {"amendment": "amended", "waiver": "waived"}
ACTION_OF: Mapping[Kind, changing.Action] = {"amendment": "amended", "waiver": "waived"}
PROPOSED = {"amendment": "amendment.proposed", "waiver": "waiver.proposed"}
ACTIVATED = {"amendment": "amendment.activated", "waiver": "waiver.activated"}
WITHDRAWN = {"amendment": "amendment.withdrawn", "waiver": "waiver.withdrawn"}
_EXCEPTION_EVENTS = {"amendment": "exception.amended", "waiver": "exception.waived"}
_TAKEN_OVER = ("report_id", "run_id", "phase", "ordinal", "key", "rule_id", "evidence")
_ADD_MANY = """
INSERT INTO decision (tenant_id, kind, expires_on, reason, status, proposed_by, proposed_at, approved_by, approved_at,
                      makers, revision, id, exception_id, report_id, run_id, phase, ordinal, key, rule_id, evidence, changes)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, u.*
FROM unnest($11::uuid[], $12::uuid[], $13::uuid[], $14::uuid[], $15::text[], $16::bigint[], $17::text[], $18::text[],
            $19::uuid[], $20::jsonb[]) AS u
"""
# of those that came into force together the newest one of each record stays; others may have the record's key
_OVERTAKEN = """
SELECT DISTINCT ON (o.id) o.id, a.id AS by FROM decision a
JOIN decision o ON o.tenant_id = a.tenant_id AND o.report_id = a.report_id AND o.kind = a.kind AND o.key = a.key
WHERE a.tenant_id = $1 AND a.id = ANY($2) AND a.kind = 'amendment' AND o.status = 'active' AND o.id <> a.id
  AND (o.id <> ALL($2) OR (o.id < a.id AND o.run_id = a.run_id AND o.ordinal = a.ordinal)) AND o.changes ?| ARRAY(SELECT jsonb_object_keys(a.changes))
ORDER BY o.id, a.id DESC
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What somebody decides of one exception. `changes` is field → old and new value of an amendment."""

    kind: Kind
    reason: str
    changes: dict[str, Any] = field(default_factory=dict)
    expires_on: date | None = None
    replaces: tuple[UUID, ...] = ()


async def decide(tx: Transaction, row: Row, verdict: Verdict) -> Row:
    """Decide of an exception whose row the caller holds; what needs a second person is proposed.

    Raises:
        WrongStatus: the exception is not open. Conflict: something is proposed of it already.
    """
    if row["proposal_id"] is not None:
        raise Conflict("What is proposed of it is approved or withdrawn first.", type="already-proposed")
    proposal = (await policy_of(tx)).second_person
    made = blank(tx, row, verdict, proposal=proposal)
    await tx.execute(insert(decision).values(tenant_id=tx.tenant_id, **made))
    if proposal:
        change = Change("proposed", {"proposal_id": made["id"]}, verdict.reason)
        await changing.apply(tx, [row], change)
        await tx.emit(PROPOSED[verdict.kind], fact(made, ""), entity=made["id"])
        return made
    change = settled(verdict.kind, made["id"], verdict.reason)
    await changing.apply(tx, [row], change)
    await tx.emit(ACTIVATED[verdict.kind], fact(made, ""), entity=made["id"])
    await tx.emit(_EXCEPTION_EVENTS[verdict.kind], changing.fact(row, change), entity=row["id"])
    await replace(tx, dict.fromkeys(verdict.replaces, made["id"]))
    return made


async def decide_many(tx: Transaction, rows: Sequence[Row], verdicts: Sequence[Verdict]) -> Change:
    """Decide of many exceptions alike; the caller says it with one event, of the change that is returned.

    Raises:
        WrongStatus: one of the exceptions is not open.
    """
    proposal, first = (await policy_of(tx)).second_person, verdicts[0]
    made = [blank(tx, row, verdict, proposal=proposal) for row, verdict in zip(rows, verdicts, strict=True)]
    columns = [[one[name] for one in made] for name in ("id", "exception_id", *_TAKEN_OVER, "changes")]
    context, status = tx.context, made[0]["status"]
    by = (context.actor, context.now, *(made[0][name] for name in ("approved_by", "approved_at", "makers")))
    shared = (first.kind, first.expires_on, first.reason, status, *by)
    await tx.connection.execute(_ADD_MANY, tx.tenant_id, *shared, *columns)
    after = {} if proposal else {"status": STATUS_OF[first.kind]}
    change = Change("proposed" if proposal else ACTION_OF[first.kind], after, first.reason)
    await changing.apply(tx, rows, change, {"proposal_id": columns[0]} if proposal else settling(columns[0]))
    if first.kind == "amendment" and not proposal:
        await replace(tx, await overtaken(tx, columns[0]))
    return change


def settling(ids: Sequence[UUID]) -> dict[str, Sequence[UUID | None]]:
    """Return what is set of exceptions, each of which is settled by the decision at its place."""
    return {"decision_id": ids, "proposal_id": [None] * len(ids)}


def settled(kind: Kind, id_: UUID, reason: str) -> Change:
    """Return the change of an exception of which something is decided."""
    values = {"status": STATUS_OF[kind], "decision_id": id_, "proposal_id": None}
    return Change(ACTION_OF[kind], values, reason)


def blank(tx: Transaction, row: Row, verdict: Verdict, *, proposal: bool) -> dict[str, Any]:
    """Return the row of a new decision of an exception."""
    context = tx.context
    return {
        "id": uuid7(context.now),
        "kind": verdict.kind,
        "exception_id": row["id"],
        **{name: row[name] for name in _TAKEN_OVER},
        "changes": verdict.changes,
        "expires_on": verdict.expires_on,
        "reason": verdict.reason,
        "status": "proposed" if proposal else "active",
        "revision": 1,
        "proposed_by": context.actor,
        "makers": makers(tx),
        "proposed_at": context.now,
        "approved_by": None if proposal else context.actor,
        "approved_at": None if proposal else context.now,
    }


async def lock(tx: Transaction, kind: Kind, id_: UUID, revision: int | None = None) -> Row:
    """Return a decision, held until we commit.

    Raises:
        NotFound: there is none. PreconditionFailed: it changed since it was read.
    """
    row = await tx.row(select(decision).where(_D.id == id_, _D.kind == kind).with_for_update())
    if row is None:
        raise NotFound(f"There is no such {kind}.")
    if revision is not None:
        require_revision(revision, row["revision"])
    return row


async def approve(tx: Transaction, kind: Kind, id_: UUID, revision: int) -> None:
    """Put a proposal into effect; nobody approves what they proposed themselves.

    Raises:
        NotFound, PreconditionFailed: see `lock`. Conflict: it is no proposal, or its day is past. Forbidden: the caller made it.
    """
    exception = await changing.lock(tx, await exception_of(tx, kind, id_))
    row = await lock(tx, kind, id_, revision)
    if row["status"] != "proposed":
        raise Conflict(f"The {kind} is {row['status']}.", type="not-proposed")
    if {row["proposed_by"], *row["makers"]} & set(makers(tx)):
        raise Forbidden("A second person approves; you made the proposal.", type="maker-is-checker")
    if row["expires_on"] is not None and row["expires_on"] < tx.context.now.date():
        raise Conflict("The day until which it would hold is past.", type="proposal-expired")
    approved = {"status": "active", "approved_by": tx.context.actor, "approved_at": tx.context.now}
    await change(tx, row, ACTIVATED[kind], **approved)
    if exception["status"] == "open":
        done = settled(kind, id_, row["reason"])
        await changing.apply(tx, [exception], done)
        await tx.emit(_EXCEPTION_EVENTS[kind], changing.fact(exception, done), entity=exception["id"])
    elif exception["proposal_id"] == id_:
        await changing.apply(tx, [exception], Change("approved", {"proposal_id": None}, row["reason"]))
    if kind == "amendment":
        await replace(tx, await overtaken(tx, [id_]))


async def withdraw(tx: Transaction, kind: Kind, id_: UUID, revision: int, reason: str) -> None:
    """Take a decision or a proposal back; the exceptions that rested on it are open again.

    Raises:
        NotFound, PreconditionFailed: see `lock`. Conflict: it is over.
    """
    await store.hold_for_reopening(tx)
    exception = await changing.lock(tx, await exception_of(tx, kind, id_))
    others = [each for each in await resting.rest_on(tx, [id_]) if each["id"] != exception["id"]]
    row = await lock(tx, kind, id_, revision)
    if row["status"] not in ("proposed", "active"):
        raise Conflict(f"The {kind} is {row['status']}.", type="decision-over")
    await end_decision(tx, row, WITHDRAWN[kind], "withdrawn", reason)
    if exception["proposal_id"] == id_:
        await changing.apply(tx, [exception], Change("withdrawn", {"proposal_id": None}, reason))
    rested = exception["decision_id"] == id_ and exception["status"] == STATUS_OF[kind]
    for each in (*[exception] * rested, *others):
        await _reopen(tx, each, id_, reason)


async def _reopen(tx: Transaction, exception: Row, id_: UUID, reason: str) -> None:
    """Open an exception again whose decision was taken back."""
    back = Change("withdrawn", {"status": "open", "decision_id": None}, reason)
    await changing.apply(tx, [exception], back)
    await tx.emit("exception.reopened", changing.fact(exception, back), entity=exception["id"])
    await unsealed.leave_again(tx, [exception], exception, id_)


async def exception_of(tx: Transaction, kind: Kind, id_: UUID) -> UUID:
    """Return the exception that a decision is of; it is held first, everywhere.

    Raises:
        NotFound: there is no such decision.
    """
    found: UUID | None = await tx.value(select(_D.exception_id).where(_D.id == id_, _D.kind == kind))
    if found is None:
        raise NotFound(f"There is no such {kind}.")
    return found


async def end_decision(tx: Transaction, row: Row, event: str, status: str, note: str, **more: Any) -> None:
    """End a decision whose row the caller holds."""
    over = {"status": status, "ended_by": tx.context.actor, "ended_at": tx.context.now, "note": note[:2000]}
    await change(tx, row, event, **over, **more)


async def change(tx: Transaction, row: Row, event: str, **values: Any) -> None:
    """Change a decision whose row the caller holds, and say so."""
    values = {**values, "revision": row["revision"] + 1}
    await tx.execute(update(decision).where(_D.id == row["id"]).values(**values))
    await tx.emit(event, fact({**row, **values}, row["status"]), entity=row["id"])


async def replace(tx: Transaction, taken: Mapping[UUID, UUID]) -> None:
    """End amendments, each by the one that takes its place: what rested on it rests on that one."""
    await resting.move(tx, taken)
    for id_ in sorted(taken):
        row = await lock(tx, "amendment", id_)
        if row["status"] == "active":
            await end_decision(tx, row, "amendment.withdrawn", "withdrawn", "Another amendment takes its place.")


async def overtaken(tx: Transaction, ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Return the amendments in force that change a field of a record which one of those that came into force changes.

    Each with the newest one that does.
    """
    return {row["id"]: row["by"] for row in await tx.connection.fetch(_OVERTAKEN, tx.tenant_id, ids)}


async def active(tx: Transaction, report_id: UUID, key: str) -> Sequence[Row]:
    """Return the active amendments of a record."""
    mine = (_D.report_id == report_id, _D.kind == "amendment", _D.status == "active", _D.key == key)
    return await tx.rows(select(decision).where(*mine).order_by(_D.id))


def fact(row: Row, before: str) -> DecisionChanged:
    """Return what a change of a decision is announced with."""
    names = ("kind", "report_id", "exception_id", "key", "rule_id", "changes", "expires_on", "reason")
    return DecisionChanged(
        decision_id=row["id"],
        **{name: row[name] for name in names},
        before=before,
        after=row["status"],
        note=row.get("note") or "",
    )
