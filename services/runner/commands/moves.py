"""From one status to the next: one compare-and-set, one event."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog

from libs.common.database.transaction import Row, Transaction
from libs.common.events.envelope import Data
from libs.common.events.runner import RunChanged, RunEnded
from services.runner.commands.concluding import Ending
from services.runner.domain.states import ENDED, EVENT_NAMES, require_transition
from services.runner.domain.steps import STEP_OF_PHASE
from services.runner.metrics import RUN_SECONDS
from services.runner.store import parts, runs

_LOG = structlog.get_logger(__name__)
POKE_GRACE = timedelta(seconds=2)
"""How long a queued run waits for its poke before any worker that looks may take it."""


class LostRaceError(Exception):
    """The run changed under a worker: another has it, or it has ended. Nothing was written."""


async def announce(tx: Transaction, run_id: UUID, name: str, data: Data, *, entity: UUID | None = None) -> None:
    """Emit a fact about a run and show it to the run's followers; the caller holds the run's row."""
    await tx.emit(name, data, entity=entity or run_id)
    parts.add_progress(tx, run_id, name, data.model_dump(mode="json", exclude_none=True))


async def move(tx: Transaction, run: Row, after: str, *, reason: str = "", code: str = "", **changes: Any) -> Row:
    """Bring a run from the status that it was read in to the next, and say so.

    Raises:
        IllegalTransitionError: the transition is not declared.
        LostRaceError: the run changed since it was read.
    """
    before = run["status"]
    require_transition(before, after)
    values = {"status": after, "reason": reason, "code": code, **_times(tx, run, after), **changes}
    if not await runs.change(tx, run, **values):
        raise LostRaceError(f"run {run['id']} is no longer {before}")
    moved = {**run, **values}
    more = await _of_correction(tx, moved) if after in ENDED and run["kind"] == "correction" else {}
    if after == "failed" and run["kind"] == "report":
        more = {"unjudged": await _unjudged(tx, run["id"])}
    await announce(tx, run["id"], EVENT_NAMES[after], fact(moved, before, **more))
    if after in ENDED:
        _note_end(tx, moved)
        if run["backtest_id"] is not None:
            tx.at_end.setdefault(("backtest", run["backtest_id"]), Ending(tx, run["backtest_id"]))
    return moved


def _note_end(tx: Transaction, run: Row) -> None:
    seconds = (tx.context.now - run["created_at"]).total_seconds()
    RUN_SECONDS.labels(run["status"]).observe(seconds)
    ids = {"run_id": str(run["id"]), "request_id": run["correlation_id"]}
    _LOG.info("run.ended", status=run["status"], code=run["code"], seconds=round(seconds, 3), **ids)


def _times(tx: Transaction, run: Row, after: str) -> dict[str, Any]:
    if after in ENDED:
        return {"ended_at": tx.context.now, "lease_until": None, "worker": ""}
    if after == "running":
        return {"started_at": run["started_at"] or tx.context.now}
    return {"worker": ""}


async def _of_correction(tx: Transaction, run: Row) -> dict[str, Any]:
    """Return what the end of a correction says beside: what became of the records that were sent again."""
    steps = {row["step"]: row for row in await parts.steps(tx, run["id"])}
    deliveries = await parts.deliveries(tx, run["id"])
    came_through = run["status"] in ("succeeded", "partial")
    delivered = not deliveries or any(row["status"] == "succeeded" for row in deliveries)
    left = steps["render"]["outputs"].get("records") if came_through else None
    return {"parent_id": run["parent_id"], "delivered": came_through and delivered, "not_out": left}


async def _unjudged(tx: Transaction, run_id: UUID) -> list[str]:
    """Return the phases that were to be judged and of which the run took no verdict: one told since counts for nobody."""
    sealed = {row["step"] for row in await parts.steps(tx, run_id) if row["status"] == "sealed"}
    return [phase for phase in await parts.validations(tx, run_id) if STEP_OF_PHASE[phase] not in sealed]


def fact(run: Row, before: str, **more: Any) -> Data:
    """Return what the arrival in the run's status is announced with."""
    shared = {
        "run_id": run["id"],
        "report_id": run["report_id"],
        "kind": run["kind"],
        "before": before,
        "after": run["status"],
        "reason": run["reason"],
        "schedule_id": run["schedule_id"],
        "nominal_time": run["nominal_time"],
    }
    if run["status"] not in ENDED:
        return RunChanged(**shared)
    counts = {name: run[name] for name in ("records_in", "records_out", "records_held")}
    return RunEnded(**shared, **counts, business_date=run["business_date"], code=run["code"], **more)


async def queue(tx: Transaction, run: Row, **changes: Any) -> Row:
    """Queue a run and poke the workers."""
    # the poke first: the relay publishes in order, and events behind it cost a worker nothing
    await poke(tx, run["id"])
    return await move(tx, run, "queued", lease_until=tx.context.now + POKE_GRACE, **changes)


async def poke(tx: Transaction, run_id: UUID) -> None:
    """Tell the workers that a run may have work."""
    await tx.poke("run", run_id=str(run_id))


async def fail(tx: Transaction, run: Row, code: str, reason: str, **changes: Any) -> Row:
    """End a run as failed."""
    return await move(tx, run, "failed", code=code, reason=reason, **changes)
