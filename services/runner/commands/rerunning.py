"""A run again: the same versions or the latest, from the start or from where it failed."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from libs.common import tenancy
from libs.common.database.transaction import Row, Transaction
from libs.common.definitions.copies import Pinned
from libs.common.errors import Conflict
from libs.common.objects import Sealed
from services.runner.commands.creation import Order, add_pinned
from services.runner.commands.pinning import Pinning, pin
from services.runner.commands.results import StepResult
from services.runner.commands.sealing import add_sealed
from services.runner.domain.ledger import Balance
from services.runner.domain.states import ENDED
from services.runner.domain.steps import PHASES, TRIALS, next_step
from services.runner.library import Library
from services.runner.store import parts, runs

_REUSABLE = ("extract", "validate", "transform", "validate_output")


async def rerun(tx: Transaction, library: Library, run_id: UUID, versions: Literal["pinned", "latest"]) -> Row:
    """Create a run that repeats an ended one.

    `pinned` uses the parent's versions, rules and as-of; a failed parent's sealed steps are taken over, so the new run
    goes on from where it failed. `latest` chooses versions and rules anew, as of now, and begins at the beginning.

    Raises:
        NotFound: there is no such run. Conflict: it has not ended, or reports nothing.
        NotYetVisible, Invalid: see `pin`. TenantSuspended.
    """
    await tenancy.require_active(tx)
    parent = await runs.lock(tx, run_id)
    if parent["status"] not in ENDED:
        raise Conflict(f"The run is {parent['status']}; only an ended one can be repeated.", type="run-not-ended")
    if parent["kind"] == "correction":
        raise Conflict("The run is a correction; resubmit its records again.", type="not-repeatable")
    if parent["kind"] in TRIALS:
        raise Conflict(f"The run is a {parent['kind']}; ask for a new one.", type="not-repeatable")
    if versions == "latest" or not parent["pins"]:
        order = Order(parent["report_id"], parent["business_date"])
        pinning = await pin(tx, library, order.report_id, order.business_date)
        return await add_pinned(tx, order, pinning, trigger="rerun", parent_id=run_id)
    return await _repeat(tx, parent)


async def _repeat(tx: Transaction, parent: Row) -> Row:
    order = Order(parent["report_id"], parent["business_date"], parent["as_of"])
    pinning = Pinning(parent["report_name"], tuple(Pinned.from_json(version) for version in parent["pins"]))
    judged = await parts.validations(tx, parent["id"])
    rules_of = parent["id"] if "input" in judged else parent["rules_of"]
    calendar = {name: parent[name] for name in ("calendar_id", "calendar_version")}
    run = await add_pinned(tx, order, pinning, trigger="rerun", parent_id=parent["id"], rules_of=rules_of, **calendar)
    if parent["status"] == "failed":
        await _take_over(tx, parent, run)
    return run


async def _take_over(tx: Transaction, parent: Row, run: Row) -> None:
    """Give a run its failed parent's sealed steps; the sealed files stay where they are."""
    ended = [row for row in await parts.steps(tx, parent["id"]) if row["status"] != "failed"]
    reused = [row for row in ended if row["step"] in _REUSABLE]
    balances = dict(await parts.balances(tx, parent["id"]))
    for row in reused:
        await _copy_step(tx, parent, run, row, balances.get(row["step"]))
    await _copy_verdicts(tx, parent, run, reused)
    step = next_step((row["step"] for row in reused), run["kind"]) or ""
    await runs.change(tx, run, step=step)


async def _copy_step(tx: Transaction, parent: Row, run: Row, row: Row, balance: Balance | None) -> None:
    now = tx.context.now
    if balance is None:
        skipped = {"status": row["status"], "attempt": 0, "started_at": now, "ended_at": now}
        await parts.add_step(tx, run["id"], row["step"], **skipped, reused_from=parent["id"])
        return
    result = StepResult(
        step=row["step"],
        started_at=now,
        balance=balance,
        outputs={name: Sealed(**sealed) for name, sealed in row["outputs"].items()},
        facts=row["facts"],
    )
    await add_sealed(tx, run["id"], result, attempt=0, reused_from=row["reused_from"] or parent["id"])


async def _copy_verdicts(tx: Transaction, parent: Row, run: Row, reused: Sequence[Row]) -> None:
    phases = {PHASES[row["step"]] for row in reused if row["step"] in PHASES}
    names = ("request_id", "status", "requested_at", "ended_at", "verdict")
    for phase, verdict in (await parts.validations(tx, parent["id"])).items():
        if phase in phases and verdict["status"] == "completed":
            await parts.add_validation(tx, run["id"], phase, **{name: verdict[name] for name in names})
