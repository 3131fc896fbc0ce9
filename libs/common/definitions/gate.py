"""Between a draft and its publication: tried on past data, approved by a second person, as the tenant's policy asks.

What is decided is decided of a hash: the draft is sealed when it is proposed, and a change of the draft ends the proposal.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal
from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions import policies, proposals, store
from libs.common.definitions.kinds import Kind, Reference
from libs.common.definitions.publishing import add_version, dependencies, distinct, require_published
from libs.common.definitions.sealing import reference
from libs.common.errors import Conflict, Forbidden, Refusal
from libs.common.events.definitions import DefinitionBacktested, DefinitionDecided, DefinitionProposed
from libs.common.events.envelope import Event
from libs.common.events.runner import BacktestCompleted
from libs.common.ids import uuid7
from libs.common.objects import Sealed
from libs.common.vocabulary.policies import PublicationPolicy

Outcome = Literal["published", "rejected", "withdrawn", "expired"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody says of a proposal: of this hash, where they name one."""

    comment: str = ""
    sha256: str | None = None


def with_maker(tx: Transaction, makers: Sequence[str]) -> list[str]:
    """Return a draft's makers with whoever is behind this transaction, and by which client."""
    return list(dict.fromkeys((*makers, tx.context.person, tx.context.actor)))


async def propose(
    tx: Transaction,
    row: Row,
    sealed: Sealed,
    effective_from: date | None,
    references: Sequence[Reference],
    asked: PublicationPolicy,
) -> None:
    """Propose a sealed draft. The definition's row is held.

    Raises:
        Conflict: it is proposed already.
    """
    found = await proposals.open_of(tx, row["id"])
    if found is not None and found["expires_at"] > tx.context.now and found["sha256"] == sealed.sha256:
        text = "It is proposed already; withdraw that to propose it otherwise."
        raise Conflict(text, type="already-proposed", extra={"proposal_id": str(found["id"])})
    await overtake(tx, row["id"], "It was proposed anew.")
    tried = row["kind"] in asked.require_backtest
    id_, number, expires = uuid7(tx.context.now), row["latest"] + 1, tx.context.now + timedelta(days=asked.expires_days)
    common = {"effective_from": effective_from, "needs_approval": row["kind"] in asked.require_approval}
    await proposals.add(
        tx,
        id=id_,
        kind=row["kind"],
        definition_id=row["id"],
        number=number,
        object_key=sealed.key,
        sha256=sealed.sha256,
        size=sealed.size,
        status="awaiting_backtest" if tried else "proposed",
        makers=with_maker(tx, row["makers"]),
        proposed_by=tx.context.actor,
        expires_at=expires,
        **common,
    )
    told = DefinitionProposed(
        kind=row["kind"],
        id=row["id"],
        name=row["name"],
        proposal_id=id_,
        draft=reference(row["kind"], row["id"], number, sealed),
        references=dependencies(references),
        replays=asked.replayed_runs if tried else 0,
        expires_at=expires,
        **common,
    )
    await tx.emit(f"{row['kind']}.proposed", told, entity=row["id"])


async def overtake(tx: Transaction, definition_id: UUID, why: str) -> None:
    """End an open proposal because of what happens to its definition; one that is too old has expired before."""
    found = await proposals.open_of(tx, definition_id)
    if found is not None:
        too_old = found["expires_at"] <= tx.context.now
        await settle(tx, found, "expired" if too_old else "withdrawn", "" if too_old else why)


async def settle(tx: Transaction, found: Row, outcome: Outcome, comment: str) -> None:
    """Decide a proposal and say so."""
    values = {"decided_by": tx.context.person, "decided_at": tx.context.now, "comment": comment}
    await proposals.change(tx, found["id"], status=outcome, **values)
    status: Literal["approved", "rejected", "withdrawn", "expired"] = "approved" if outcome == "published" else outcome
    told = DefinitionDecided(
        kind=found["kind"],
        id=found["definition_id"],
        proposal_id=found["id"],
        sha256=found["sha256"],
        status=status,
        person=tx.context.person,
        comment=comment,
    )
    kind = found["kind"]
    if status == "approved":
        await tx.emit(f"{kind}.approved", told, entity=found["definition_id"])
    elif status == "rejected":
        await tx.emit(f"{kind}.rejected", told, entity=found["definition_id"])
    elif status == "withdrawn":
        await tx.emit(f"{kind}.withdrawn", told, entity=found["definition_id"])
    else:
        await tx.emit(f"{kind}.expired", told, entity=found["definition_id"])


async def decidable(tx: Transaction, row: Row, decision: Decision) -> Row:
    """Return the open proposal of a definition if whoever asks may decide it. The definition's row is held.

    Raises:
        Conflict: there is none, or another than is meant, or it is too old. Forbidden: whoever asks made it.
    """
    found = await _open(tx, row)
    if decision.sha256 not in (None, found["sha256"]):
        raise Conflict("Something else is proposed by now; look at it first.", type="proposal-changed")
    if tx.context.person in found["makers"] or tx.context.actor in found["makers"]:
        raise Forbidden("Who made it does not decide about it.", type="own-proposal")
    return found


async def _open(tx: Transaction, row: Row) -> Row:
    found = await proposals.open_of(tx, row["id"])
    if found is None:
        raise Conflict("Nothing is proposed.", type="nothing-proposed")
    if found["expires_at"] <= tx.context.now:
        raise Conflict("The proposal is too old; it has to be made again.", type="proposal-expired")
    return found


async def reject(tx: Transaction, kind: Kind, id: UUID, decision: Decision) -> None:  # noqa: A002 - the resource's own word
    """Refuse what another person proposed; the draft stays.

    Raises:
        NotFound: there is no such definition. Conflict, Forbidden: see `decidable`.
    """
    row = await store.lock(tx, kind.name, id)
    await settle(tx, await decidable(tx, row, decision), "rejected", decision.comment)


async def withdraw(tx: Transaction, kind: Kind, id: UUID, comment: str) -> None:  # noqa: A002
    """Take a proposal back; the draft stays.

    Raises:
        NotFound: there is no such definition. Conflict: nothing is proposed.
    """
    row = await store.lock(tx, kind.name, id)
    await settle(tx, await _open(tx, row), "withdrawn", comment)


async def publish(
    tx: Transaction, row: Row, found: Row, references: Sequence[Reference], kinds: Collection[str]
) -> None:
    """Publish a proposal: the very object that was tried and approved is the version."""
    sealed = Sealed(found["object_key"], found["sha256"], found["size"])
    await add_version(tx, row, sealed, found["effective_from"], references, kinds, by=found["proposed_by"])


def on_backtest_completed(kinds: dict[str, Kind]) -> Callable[[Transaction, Event], Awaitable[None]]:
    """Return what the owner of `kinds` does when a backtest is over."""

    async def handle(tx: Transaction, event: Event) -> None:
        data = BacktestCompleted.model_validate(event.data)
        kind = kinds.get(data.draft.kind)
        if kind is not None and data.proposal_id is not None:
            await _go_on(tx, kinds, kind, data)

    return handle


async def _go_on(tx: Transaction, kinds: dict[str, Kind], kind: Kind, data: BacktestCompleted) -> None:
    """Bring a proposal on that waits for this backtest, if the draft is the one that was tried."""
    row = await store.lock_or_none(tx, kind.name, data.draft.id)
    found = await proposals.open_of(tx, data.draft.id) if row else None
    if row is None or found is None or (found["id"], found["status"]) != (data.proposal_id, "awaiting_backtest"):
        return
    if found["sha256"] != data.draft.sha256:
        return
    if found["expires_at"] <= tx.context.now:
        await settle(tx, found, "expired", "")
        return
    tried = {"backtest_id": data.backtest_id, "backtest": {"runs": data.runs, "failed": data.failed, **data.counts}}
    await proposals.change(tx, found["id"], **tried)
    if why := _too_different(data, await policies.policy_of(tx)):
        await settle(tx, found, "rejected", why)
        return
    told = DefinitionBacktested(
        kind=kind.name, id=row["id"], proposal_id=found["id"], sha256=found["sha256"], backtest_id=data.backtest_id,
        counts=data.counts,
    )  # fmt: skip
    await tx.emit(f"{found['kind']}.backtested", told, entity=row["id"])
    if found["needs_approval"]:
        await proposals.change(tx, found["id"], status="proposed")
    else:
        await _publish_tried(tx, kinds, kind, row, found)


async def _publish_tried(tx: Transaction, kinds: dict[str, Kind], kind: Kind, row: Row, found: Row) -> None:
    """Publish what passed its backtest, unless what it refers to has gone meanwhile."""
    references = distinct(kind.references(kind.spec.validate_python(row["draft"])))
    try:
        for each in references:
            await require_published(tx, kinds, each)
    except Refusal as refusal:
        await settle(tx, found, "rejected", refusal.detail)
        return
    decided = {"decided_by": tx.context.actor, "decided_at": tx.context.now}
    await proposals.change(tx, found["id"], status="published", **decided)
    await publish(tx, row, found, references, kinds)


def _too_different(data: BacktestCompleted, asked: PublicationPolicy) -> str:
    """Return why a backtest sends the draft back, or nothing."""
    if data.failed:
        return f"{data.failed} of {data.runs} replays did not come to their end: see /v1/backtests/{data.backtest_id}."
    failing = int(data.counts.get("newly_failing", 0))
    if asked.most_newly_failing is not None and failing > asked.most_newly_failing:
        return f"{failing} records fail newly; the policy allows {asked.most_newly_failing}."
    return ""
