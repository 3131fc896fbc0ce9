"""Stopping a run, wherever it stands."""

from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict
from libs.common.events.envelope import Event
from libs.common.tenancy import is_active, on_tenant_changed
from services.runner.commands.claims import Claim
from services.runner.commands.moves import LostRaceError, move
from services.runner.domain.states import ENDED
from services.runner.store import backtests, runs


async def cancel_run(tx: Transaction, run_id: UUID, reason: str = "") -> Row:
    """Cancel a run; one that a worker holds is cancelled by that worker, within about a second.

    Raises:
        NotFound: there is no such run. Conflict: it has ended, or its delivery has begun.
    """
    run = await runs.lock(tx, run_id)
    if run["status"] in ENDED:
        raise Conflict(f"The run has ended as {run['status']}.", type="run-ended")
    if run["delivering"]:
        raise Conflict("The run's delivery has begun; it will end within moments.", type="delivery-begun")
    text = reason or f"Cancelled by {tx.context.actor}."
    if run["status"] != "running":
        return await move(tx, run, "cancelled", code="cancelled", reason=text)
    asked = {"cancel_asked": True, "reason": text}
    await runs.change(tx, run, **asked)
    return {**run, **asked}


async def cancel_held(tx: Transaction, claim: Claim) -> None:
    """Cancel a run on its worker's behalf.

    Raises:
        LostRaceError: the claim no longer counts.
    """
    run = await runs.lock(tx, claim.run_id)
    if run["status"] != "running" or run["fence"] != claim.fence:
        raise LostRaceError(f"run {claim.run_id} is no longer ours")
    await move(tx, run, "cancelled", code="cancelled", reason=run["reason"])


async def on_tenant(tx: Transaction, event: Event) -> None:
    """Learn a tenant's status; a suspended tenant's runs are cancelled."""
    await on_tenant_changed(tx, event)
    if await is_active(tx):
        return
    for run_id in await runs.unended(tx):
        run = await runs.lock(tx, run_id)
        if run["status"] not in ENDED and not run["delivering"]:
            await cancel_run(tx, run_id, "The tenant was suspended.")


async def cancel_backtest(tx: Transaction, backtest_id: UUID) -> None:
    """Cancel a backtest's runs that have not ended; it is complete with the last of them.

    Raises:
        NotFound: there is no such backtest.
    """
    await backtests.find(tx, backtest_id)
    for replay in await backtests.replays(tx, backtest_id):
        if replay["status"] not in ENDED:
            run = await runs.lock(tx, replay["id"])
            if run["status"] not in ENDED:
                await cancel_run(tx, replay["id"])
