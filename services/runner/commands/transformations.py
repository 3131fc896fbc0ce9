"""What a report's own code came to: asked for, answered, on its way."""

from dataclasses import asdict

from libs.common.database.transaction import Row, Transaction
from libs.common.events.envelope import Event
from libs.common.events.runner import TransformRequested
from libs.common.events.validator import TransformCompleted, TransformFailed, TransformProgressed
from libs.common.objects import Sealed
from services.runner.commands.claims import Claim
from services.runner.commands.moves import move, queue
from services.runner.commands.sealing import add_failed
from services.runner.commands.verdicts import granted_prefix
from services.runner.store import parts, runs

STEP = "transform"


async def ask(tx: Transaction, claim: Claim, request: TransformRequested, dataset: Sealed, held: int) -> None:
    """Ask the validator to run the code, and let the run go until it answers, or the grant expires.

    The caller holds the run's row.
    """
    now = tx.context.now
    await tx.emit("transform.requested", request, entity=claim.run_id)
    asked = {"request_id": request.request_id, "dataset": asdict(dataset), "held": held, "requested_at": now}
    await parts.add_transformation(tx, claim.run_id, **asked)
    await move(tx, claim.run, "transforming", lease_until=request.grant.expires, step=STEP, attempts=0)


async def on_completed(tx: Transaction, event: Event) -> None:
    """Keep what the code made and queue the run again; an answer that nobody waits for is left alone."""
    data = TransformCompleted.model_validate(event.data)
    run = await _waiting_for(tx, data, "completed")
    if run is None:
        return
    prefix = granted_prefix(run, STEP)
    for reference in (data.output, data.trace, data.drops, data.log):
        if reference is not None and not reference.key.startswith(prefix):
            text = "The validator names a file outside of what it was allowed to write."
            await add_failed(tx, run, STEP, "bad-rows", text)
            return
    await queue(tx, run, step=STEP)


async def on_failed(tx: Transaction, event: Event) -> None:
    """End a run whose code failed; an answer that nobody waits for is left alone."""
    data = TransformFailed.model_validate(event.data)
    run = await _waiting_for(tx, data, "failed")
    if run is not None:
        await add_failed(tx, run, STEP, data.code, data.message)


async def on_progressed(tx: Transaction, event: Event) -> None:
    """Show a run's followers how far its code has got."""
    data = TransformProgressed.model_validate(event.data)
    if not await runs.exists(tx, data.run_id):
        return
    run = await runs.lock(tx, data.run_id)
    asked = await parts.transformation_of(tx, data.run_id)
    if run["status"] == "transforming" and asked is not None and asked["request_id"] == data.request_id:
        parts.add_progress(tx, data.run_id, "transform.progressed", data.model_dump(mode="json"))


async def _waiting_for(tx: Transaction, data: TransformCompleted | TransformFailed, status: str) -> Row | None:
    """Close the request and return its run, if it waits for this very answer."""
    if not await runs.exists(tx, data.run_id):
        return None
    run = await runs.lock(tx, data.run_id)
    if run["status"] != "transforming":
        return None
    result = data.model_dump(mode="json", exclude={"run_id", "request_id"})
    ended = await parts.end_transformation(tx, data.run_id, data.request_id, status, result)
    return run if ended else None
