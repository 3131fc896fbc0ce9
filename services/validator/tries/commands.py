"""Asking the runner for a run's sealed records, and what it answers."""

from typing import Any
from uuid import UUID

from libs.common.database.transaction import Transaction
from libs.common.events.envelope import Event
from libs.common.events.runner import ExtractGranted, ExtractRefused
from libs.common.events.validator import TryAsked, TryEnded
from libs.common.ids import uuid7
from libs.common.vocabulary.rules import Phase, RuleSpec
from services.validator.tries import store


async def ask(tx: Transaction, run_id: UUID, phase: Phase, rules: list[UUID | RuleSpec]) -> UUID:
    """Ask the runner for a run's records, to try rules on them; returns the try's id."""
    id_ = uuid7(tx.context.now)
    await store.add(tx, id_, run_id, phase, [_kept(rule) for rule in rules])
    await tx.emit("try.asked", TryAsked(try_id=id_, run_id=run_id, phase=phase), entity=id_)
    return id_


def _kept(rule: UUID | RuleSpec) -> Any:
    return str(rule) if isinstance(rule, UUID) else rule.model_dump(mode="json")


async def on_granted(tx: Transaction, event: Event) -> None:
    """Have the records judged."""
    data = ExtractGranted.model_validate(event.data)
    if await store.advance(tx, data.try_id, "asked", "granted", dataset=event.data):
        await tx.poke("try", try_id=str(data.try_id))


async def on_refused(tx: Transaction, event: Event) -> None:
    """End a try whose run has no such records."""
    data = ExtractRefused.model_validate(event.data)
    await end_try(tx, data.try_id, data.run_id, "asked", code=data.code, message=data.message)


async def end_try(tx: Transaction, id_: UUID, run_id: UUID, before: str, *, code: str = "", **values: Any) -> None:
    """Record what came of a try; said twice, the first counts."""
    after = "failed" if code else "completed"
    if await store.advance(tx, id_, before, after, ended_at=tx.context.now, code=code, **values):
        await tx.emit("try.ended", TryEnded(try_id=id_, run_id=run_id, status=after, code=code), entity=id_)
