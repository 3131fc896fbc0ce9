"""A step's end: its row, its balance, its events, all at once and only for the worker whose claim counts."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from libs.common.events.runner import (
    ArtifactRendered,
    DeliveryEnded,
    ObjectReference,
    StepFailed,
    StepSealed,
    ValidationRequested,
)
from libs.common.ids import derived_id
from services.runner.commands.claims import Claim, hold, progressed
from services.runner.commands.moves import announce, fail, move
from services.runner.commands.results import DeliveryResult, StepResult
from services.runner.domain.endings import conclude
from services.runner.domain.ledger import Balance, close
from services.runner.domain.steps import STEP_OF_PHASE, TRIALS, following
from services.runner.store import parts


async def seal(tx: Transaction, claim: Claim, result: StepResult) -> Claim:
    """Record a finished step and what came of it; return the claim as it stands then.

    The caller holds the run's row, and keeps where the claim has got to: see `claims.keep`.
    """
    row = await add_sealed(tx, claim.run_id, result, attempt=claim.fence)
    for made in result.artifacts:
        await _add_artifact(tx, claim.run_id, made)
        for target in result.destinations:
            id_ = derived_id("delivery", str(made.id), str(target))
            await parts.add_delivery(tx, id=id_, run_id=claim.run_id, artifact_id=made.id, destination_id=target)
    delivering = bool(result.artifacts and result.destinations)
    changes = {"step": following(result.step, claim.run["kind"]), "attempts": 0, "delivering": delivering}
    return await progressed(tx, claim, {**claim.run, **changes}, result.step, row)


async def add_sealed(
    tx: Transaction, run_id: UUID, result: StepResult, *, attempt: int, reused_from: UUID | None = None
) -> dict[str, Any]:
    """Add a sealed step with its balance and announce it; return the step's row."""
    outputs = {name: asdict(sealed) for name, sealed in result.outputs.items()}
    row = {
        "step": result.step,
        "status": "sealed",
        "attempt": attempt,
        "started_at": result.started_at,
        "ended_at": tx.context.now,
        "outputs": outputs,
        "facts": result.facts,
        "reused_from": reused_from,
    }
    await parts.add_sealed(tx, run_id, result.step, result.balance, row)
    main = outputs.get(result.main)
    fact = StepSealed(
        run_id=run_id,
        step=result.step,
        attempt=attempt,
        output=ObjectReference(**main) if main else None,
        balance=result.balance.as_dict(),
        seconds=(tx.context.now - result.started_at).total_seconds(),
        reused_from=reused_from,
    )
    await announce(tx, run_id, "step.sealed", fact)
    return row


async def _add_artifact(tx: Transaction, run_id: UUID, made: Any) -> None:
    sealed = made.sealed
    await parts.add_artifact(
        tx,
        id=made.id,
        run_id=run_id,
        name=made.name,
        format=made.format,
        object_key=sealed.key,
        sha256=sealed.sha256,
        size=sealed.size,
        records=made.records,
    )
    fact = ArtifactRendered(
        run_id=run_id,
        artifact_id=made.id,
        name=made.name,
        format=made.format,
        output=ObjectReference(**asdict(sealed)),
        records=made.records,
    )
    await announce(tx, run_id, "artifact.rendered", fact, entity=made.id)


async def skip(tx: Transaction, claim: Claim, step: str) -> Claim:
    """Record that a step has nothing to do; return the claim as it stands then. The caller does as with `seal`."""
    now = tx.context.now
    row = {"status": "skipped", "attempt": claim.fence, "started_at": now, "ended_at": now}
    await parts.add_step(tx, claim.run_id, step, **row)
    changes = {"step": following(step, claim.run["kind"])}
    return await progressed(
        tx, claim, {**claim.run, **changes}, step, {**row, "step": step, "outputs": {}, "facts": {}}
    )


async def ask_validator(tx: Transaction, claim: Claim, request: ValidationRequested) -> None:
    """Ask for a verdict and let the run go until it comes, or the grant expires. The caller holds the run's row."""
    now = tx.context.now
    await tx.emit("validation.requested", request, entity=claim.run_id)
    asked = {"request_id": request.request_id, "status": "requested", "requested_at": now}
    await parts.add_validation(tx, claim.run_id, request.phase, **asked)
    step = STEP_OF_PHASE[request.phase]
    await move(tx, claim.run, "validating", lease_until=request.grant.expires, step=step, attempts=0)


async def fail_step(tx: Transaction, claim: Claim, step: str, code: str, message: str) -> None:
    """Record a step that did not end well, and end the run with its message.

    Raises:
        LostRaceError, CancelAskedError: see `hold`.
    """
    run = await hold(tx, claim)
    await add_failed(tx, run, step, code, message)


async def add_failed(tx: Transaction, run: Row, step: str, code: str, message: str) -> None:
    """Add a failed step and end the run; the caller holds the run's row."""
    now = tx.context.now
    ended = {"status": "failed", "attempt": run["fence"], "started_at": now, "ended_at": now}
    await parts.add_step(tx, run["id"], step, **ended, code=code, message=message)
    fact = StepFailed(run_id=run["id"], step=step, attempt=run["fence"], code=code, message=message)
    await announce(tx, run["id"], "step.failed", fact)
    await fail(tx, run, code, message, step=step)


async def finish(tx: Transaction, claim: Claim, result: StepResult) -> None:
    """Record the last step, with its deliveries if any, and end the run: the ledger must close.

    Raises:
        LostRaceError, CancelAskedError: see `hold`. UnbalancedError: records are missing.
    """
    run = await hold(tx, claim)
    await add_sealed(tx, claim.run_id, result, attempt=claim.fence)
    for delivered in result.deliveries:
        await _end_delivery(tx, claim.run_id, delivered)
    totals = close(await parts.balances(tx, claim.run_id), run["kind"])
    undelivered = sum(1 for delivered in result.deliveries if delivered.code)
    held = 0 if run["kind"] in TRIALS else totals.held
    ending = conclude(held, len(result.deliveries), undelivered)
    counts: dict[str, Any] = {
        "records_in": totals.records_in,
        "records_out": totals.records_out,
        "records_held": totals.held,
    }
    await move(tx, run, ending.status, reason=ending.reason, step="", **counts)


async def _end_delivery(tx: Transaction, run_id: UUID, delivered: DeliveryResult) -> None:
    status = "failed" if delivered.code else "succeeded"
    outcome = {"receipt": delivered.receipt, "code": delivered.code, "reason": delivered.reason}
    if not await parts.end_delivery(tx, delivered.id, status, **outcome):
        return
    fact = DeliveryEnded(
        run_id=run_id,
        delivery_id=delivered.id,
        artifact_id=delivered.artifact_id,
        destination_id=delivered.destination_id,
        receipt=delivered.receipt,
        reason=delivered.reason,
    )
    await announce(tx, run_id, f"delivery.{status}", fact, entity=delivered.id)


def verdict_balance(rows: int, held: int) -> Balance:
    """Return the balance of a validation.

    Raises:
        UnbalancedError: more records are held than there are.
    """
    return Balance(records_in=rows, records_out=rows - held, held=held)
