"""The two ends of a transform: what was asked, what came of it."""

from typing import Any

from libs.common.database.transaction import Transaction
from libs.common.events.envelope import Event
from libs.common.events.runner import RunEnded, TransformRequested
from libs.common.events.validator import TransformCompleted, TransformFailed, TransformProgressed
from services.validator.transforms import store


async def on_requested(tx: Transaction, event: Event) -> None:
    """Queue a transform and poke a worker."""
    request = TransformRequested.model_validate(event.data)
    if await store.add(tx, request.request_id, request.run_id, event.data):
        await tx.poke("transform", request_id=str(request.request_id))


async def on_run_ended(tx: Transaction, event: Event) -> None:
    """Stop working for a run that was cancelled or has failed; its worker notices at its next beat."""
    await store.cancel_of(tx, RunEnded.model_validate(event.data).run_id)


async def complete(tx: Transaction, attempt: int, completed: TransformCompleted) -> bool:
    """Record what a transform made; false where another worker was first."""
    if not await store.end(tx, completed.request_id, attempt, "done"):
        return False
    await tx.emit("transform.completed", completed, entity=completed.run_id)
    return True


async def fail(tx: Transaction, attempt: int, failed: TransformFailed) -> bool:
    """Record that a transform made nothing; false where another worker was first."""
    if not await store.end(tx, failed.request_id, attempt, "failed"):
        return False
    await tx.emit("transform.failed", failed, entity=failed.run_id)
    return True


async def note_progress(tx: Transaction, request: TransformRequested, attempt: int, until: Any, counts: Any) -> bool:
    """Say how far a transform has got, and keep it for longer; false where it is no longer ours."""
    if not await store.extend(tx, request.request_id, attempt, until):
        return False
    records, rows = counts
    said = TransformProgressed(run_id=request.run_id, request_id=request.request_id, records=records, rows=rows)
    await tx.emit("transform.progressed", said, entity=request.run_id)
    return True
