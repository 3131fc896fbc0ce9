"""What the validator answered."""

from typing import Any

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import NotFound
from libs.common.events.envelope import Event
from libs.common.events.validator import ValidationCompleted, ValidationFailed
from libs.common.objects import Sealed, tenant_key
from services.runner.commands.moves import queue
from services.runner.commands.results import StepResult
from services.runner.commands.sealing import add_failed, add_sealed, verdict_balance
from services.runner.domain.ledger import UnbalancedError
from services.runner.domain.steps import STEP_OF_PHASE, following
from services.runner.store import parts, runs


async def on_completed(tx: Transaction, event: Event) -> None:
    """Record a verdict and queue the run again; an answer that nobody waits for is left alone."""
    data = ValidationCompleted.model_validate(event.data)
    run = await _waiting_for(tx, data)
    if run is None:
        return
    step = STEP_OF_PHASE[data.phase]
    try:
        fault, result = _fault(run, data), await _result(tx, run, data)
    except UnbalancedError as error:
        fault, result = ("unbalanced", f"The validator's counts do not fit the data: {error}."), None
    if fault or result is None:
        await add_failed(tx, run, step, *(fault or ("bad-verdict", "The verdict cannot be used.")))
        return
    await add_sealed(tx, run["id"], result, attempt=run["fence"])
    await queue(tx, run, step=following(step, run["kind"]))


async def on_failed(tx: Transaction, event: Event) -> None:
    """End a run whose data could not be judged; an answer that nobody waits for is left alone."""
    data = ValidationFailed.model_validate(event.data)
    run = await _waiting_for(tx, data)
    if run is not None:
        await add_failed(tx, run, STEP_OF_PHASE[data.phase], data.code, data.message)


async def _waiting_for(tx: Transaction, data: ValidationCompleted | ValidationFailed) -> Row | None:
    """Close the request and return its run, if it waits for this very answer."""
    try:
        run = await runs.lock(tx, data.run_id)
    except NotFound:
        return None
    if run["status"] != "validating":
        return None
    status = "completed" if isinstance(data, ValidationCompleted) else "failed"
    verdict = data.model_dump(mode="json", exclude={"run_id", "request_id"})
    return run if await parts.end_validation(tx, data.run_id, data.request_id, status, verdict) else None


def _fault(run: Row, data: ValidationCompleted) -> tuple[str, str] | None:
    """Return code and message of what is wrong with a verdict, or None."""
    erred = [count for count in data.counts if count.errors]
    if erred:
        first = erred[0]
        return "rule-error", f"The rule {first.name} could not judge {first.errors} of {first.rows} records."
    prefix = granted_prefix(run, STEP_OF_PHASE[data.phase])
    for reference in (data.failures, data.corrections):
        if reference is not None and not reference.key.startswith(prefix):
            return "bad-verdict", "The validator names a file outside of what it was allowed to write."
    return None


def granted_prefix(run: Row, step: str) -> str:
    """Return the key prefix below which the validator may write for a step of a run."""
    return tenant_key(run["tenant_id"], "runs", str(run["id"]), step) + "/"


async def _result(tx: Transaction, run: Row, data: ValidationCompleted) -> StepResult:
    _, last = (await parts.balances(tx, run["id"]))[-1]
    if data.rows != last.records_out:
        raise UnbalancedError(f"{data.rows} records were judged of {last.records_out}")
    named = {"failures": data.failures, "corrections": data.corrections}
    outputs = {name: Sealed(**given.model_dump()) for name, given in named.items() if given is not None}
    asked = (await parts.validations(tx, run["id"]))[data.phase]
    facts: dict[str, Any] = {"warned": data.warned, "corrected": data.corrected}
    return StepResult(
        step=STEP_OF_PHASE[data.phase],
        started_at=asked["requested_at"],
        balance=verdict_balance(data.rows, data.held),
        outputs=outputs,
        facts=facts,
        main="failures",
    )
