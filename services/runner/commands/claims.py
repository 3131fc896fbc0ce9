"""Leases: one worker at a time has a run, and only the last one's writes count."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from libs.common import tenancy
from libs.common.database.transaction import Row, Transaction
from services.runner.commands.moves import LostRaceError, fail, move, queue
from services.runner.store import parts, runs

_MOST_ATTEMPTS = 5


class CancelAskedError(Exception):
    """Somebody asked to cancel the run that a worker holds."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A run in a worker's hands: the run as claimed, what is sealed so far, the verdicts."""

    run: Row
    done: Mapping[str, Row]
    verdicts: Mapping[str, Row]
    artifacts: tuple[Row, ...] = ()
    deliveries: tuple[Row, ...] = ()

    @property
    def run_id(self) -> UUID:
        """The run."""
        run_id: UUID = self.run["id"]
        return run_id

    @property
    def fence(self) -> int:
        """The number that the claim was given; a later claim has a higher one."""
        fence: int = self.run["fence"]
        return fence


async def claim(tx: Transaction, run: Row, worker: str, lease: timedelta) -> Claim | None:
    """Take a queued run, or return None where it may not be taken. The caller holds the run's row."""
    if run["status"] != "queued" or not await tenancy.is_active(tx):
        return None
    if run["attempts"] >= _MOST_ATTEMPTS:
        text = (
            f"The step {run['step'] or 'extract'} was begun {run['attempts']} times and its worker was lost each time."
        )
        await fail(tx, run, "worker-lost", text)
        return None
    taken = {"fence": run["fence"] + 1, "attempts": run["attempts"] + 1, "worker": worker}
    run = await move(tx, run, "running", lease_until=tx.context.now + lease, **taken)
    return await picture(tx, run)


async def picture(tx: Transaction, run: Row) -> Claim:
    """Return a claim on a run as the database has it now."""
    is_new = run["fence"] == 1 and run["parent_id"] is None
    steps = [] if is_new else await parts.steps(tx, run["id"])
    delivering = run["delivering"]
    return Claim(
        run=run,
        done={row["step"]: row for row in steps},
        verdicts=await parts.validations(tx, run["id"]) if steps else {},
        artifacts=tuple(await parts.artifacts(tx, run["id"])) if delivering else (),
        deliveries=tuple(await parts.deliveries(tx, run["id"])) if delivering else (),
    )


async def progressed(tx: Transaction, claim: Claim, run: Row, step: str, row: Row) -> Claim:
    """Return a claim after one more step has ended; only what that step may have made is read."""
    done = {**claim.done, step: row}
    if not run["delivering"]:
        return replace(claim, run=run, done=done)
    artifacts = tuple(await parts.artifacts(tx, run["id"]))
    deliveries = tuple(await parts.deliveries(tx, run["id"]))
    return replace(claim, run=run, done=done, artifacts=artifacts, deliveries=deliveries)


async def hold(tx: Transaction, claim: Claim) -> Row:
    """Return the run's row, locked, if the claim still counts.

    Raises:
        LostRaceError: another worker has it, or it has ended.
        CancelAskedError: it is to be cancelled.
    """
    run = await runs.lock(tx, claim.run_id)
    if run["status"] != "running" or run["fence"] != claim.fence:
        raise LostRaceError(f"run {claim.run_id} is no longer ours")
    if run["cancel_asked"]:
        raise CancelAskedError
    return run


async def keep(tx: Transaction, claim: Claim) -> None:
    """Write down where a claim has got to; the caller holds the run's row.

    Raises:
        LostRaceError: another worker has the run, or it has ended.
    """
    reached = {name: claim.run[name] for name in ("step", "attempts", "delivering")}
    if not await runs.change(tx, claim.run, **reached):
        raise LostRaceError(f"run {claim.run_id} is no longer ours")


async def beat(tx: Transaction, claim: Claim, until: datetime) -> None:
    """Extend the lease.

    Raises:
        LostRaceError, CancelAskedError: see `hold`.
    """
    await hold(tx, claim)
    await runs.change(tx, claim.run, lease_until=until)


async def release(tx: Transaction, claim: Claim, after: timedelta) -> None:
    """Put a run back after trouble that is not its own; it is looked at again after a while."""
    run = await hold(tx, claim)
    await move(tx, run, "queued", lease_until=tx.context.now + after)


async def reap(tx: Transaction, run_id: UUID) -> Row:
    """Take a run back whose worker or verdict did not come in time; return it as it is now."""
    run = await runs.lock(tx, run_id)
    if run["lease_until"] is None or run["lease_until"] > tx.context.now:
        return run
    if run["status"] == "running" and run["cancel_asked"]:
        return await move(tx, run, "cancelled", code="cancelled", reason=run["reason"])
    if run["status"] == "running":
        return await queue(tx, run)
    if run["status"] == "validating":
        return await fail(tx, run, "validation-timeout", "The validator did not answer in time.")
    if run["status"] == "transforming":
        return await fail(tx, run, "transform-timeout", "The transform was not done in time.")
    return run
