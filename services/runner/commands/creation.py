"""How runs come to be: by hand, by schedule."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from libs.common import tenancy
from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Refusal
from libs.common.events.envelope import Event
from libs.common.events.runner import RunCreated, RunKind, VersionReference
from libs.common.events.scheduler import ScheduleFired
from libs.common.ids import derived_id, uuid7
from services.runner.commands.moves import POKE_GRACE, announce, fact, fail, poke, queue
from services.runner.commands.pinning import NotYetVisible, Pinning, pin, require_known
from services.runner.library import Library
from services.runner.store import runs

_PATIENCE = timedelta(minutes=10)
_LOOK_AGAIN = timedelta(seconds=5)

# what a new run's row holds beside what it is made of: the caller gets the whole row without reading it back
_NOT_YET = (
    "report_version", "parent_id", "rules_of", "schedule_id", "nominal_time", "calendar_id", "calendar_version",
    "waiting_until", "records_in", "records_out", "records_held", "started_at", "ended_at", "row_limit",
    "backtest_id", "draft",
    "selection",
)  # fmt: skip
_DEFAULTS = {
    **dict.fromkeys(("report_name", "step", "code", "reason", "worker"), ""),
    **dict.fromkeys(("fence", "attempts"), 0),
    **dict.fromkeys(("cancel_asked", "delivering"), False),
    "pins": [],
}

Trigger = Literal["manual", "schedule", "rerun", "correction"]


@dataclass(frozen=True, slots=True)
class Order:
    """A run that somebody asks for."""

    report_id: UUID
    business_date: date
    as_of: datetime | None = None
    kind: RunKind = "report"
    row_limit: int | None = None
    at_least: Mapping[UUID, int] = field(default_factory=dict)


async def create_run(tx: Transaction, library: Library, order: Order) -> Row:
    """Create a run by hand, with all its versions pinned, and queue it.

    Raises:
        NotYetVisible, Invalid, Conflict: see `pin`. TenantSuspended.
    """
    await tenancy.require_active(tx)
    await require_known(tx, order.at_least)
    pinning = await pin(tx, library, order.report_id, order.business_date)
    return await add_pinned(tx, order, pinning, trigger="manual")


async def add_pinned(tx: Transaction, order: Order, pinning: Pinning, *, trigger: Trigger, **more: Any) -> Row:
    """Add a queued run and announce it."""
    run: dict[str, Any] = {
        **_blank(tx, uuid7(tx.context.now), order, trigger),
        **_pinned(pinning),
        "status": "queued",
        "lease_until": tx.context.now + POKE_GRACE,
        **more,
    }
    await poke(tx, run["id"])
    await runs.add(tx, **run)
    await _announce_created(tx, run)
    await announce(tx, run["id"], "run.queued", fact(run, ""))
    return run


def _blank(tx: Transaction, run_id: UUID, order: Order, trigger: Trigger) -> dict[str, Any]:
    context = tx.context
    return {
        **dict.fromkeys(_NOT_YET),
        **_DEFAULTS,
        "id": run_id,
        "created_at": context.now,
        "kind": order.kind,
        "row_limit": order.row_limit,
        "report_id": order.report_id,
        "business_date": order.business_date,
        "as_of": order.as_of or context.now,
        "trigger": trigger,
        "created_by": context.actor,
        "correlation_id": context.correlation_id or str(run_id),
        "traceparent": context.traceparent,
    }


def _pinned(pinning: Pinning) -> dict[str, Any]:
    versions = [version.as_json() for version in pinning.versions]
    return {"report_name": pinning.name, "report_version": pinning.report.number, "pins": versions}


async def _announce_created(tx: Transaction, run: Row) -> None:
    names = ("kind", "report_id", "report_version", "business_date", "as_of", "trigger", "parent_id", "schedule_id")
    data = RunCreated(
        run_id=run["id"],
        **{name: run[name] for name in names},
        nominal_time=run["nominal_time"],
        pins=tuple(VersionReference(**version) for version in run["pins"]),
    )
    await announce(tx, run["id"], "run.created", data)


async def on_schedule_fired(tx: Transaction, event: Event) -> None:
    """Make the one run of a firing; it waits until its definitions are known, which a worker looks up at once."""
    data = ScheduleFired.model_validate(event.data)
    run_id = derived_id("run", str(tx.tenant_id), str(data.schedule_id), data.nominal_time.isoformat())
    if not await tenancy.is_active(tx) or await runs.exists(tx, run_id):
        return
    names = ("schedule_id", "nominal_time", "calendar_id", "calendar_version")
    more = {name: getattr(data, name) for name in names}
    await add_waiting(tx, Order(data.report_id, data.business_date), trigger="schedule", id=run_id, **more)


async def add_waiting(tx: Transaction, order: Order, *, trigger: Trigger, **more: Any) -> Row:
    """Add a run that waits until its definitions are known, and announce it; `more` names its id."""
    run: dict[str, Any] = {
        **_blank(tx, more["id"], order, trigger),
        "status": "waiting",
        "waiting_until": tx.context.now + _PATIENCE,
        "lease_until": tx.context.now + POKE_GRACE,
        **more,
    }
    await poke(tx, run["id"])
    await runs.add(tx, **run)
    await announce(tx, run["id"], "run.waiting", fact(run, ""))
    return run


async def admit(tx: Transaction, library: Library, run: Row) -> Row:
    """Pin and queue a waiting run if its definitions are known; give up after ten minutes.

    The caller holds the run's row.
    """
    try:
        pinning = await pin(tx, library, run["report_id"], run["business_date"], archived_too=True)
    except NotYetVisible as missing:
        if tx.context.now < run["waiting_until"]:
            later = {**run, "lease_until": tx.context.now + _LOOK_AGAIN}
            await runs.change(tx, run, lease_until=later["lease_until"])
            return later
        return await fail(tx, run, missing.kind, missing.detail)
    except Refusal as refusal:
        return await fail(tx, run, refusal.kind, refusal.detail)
    pinned = {**run, **_pinned(pinning)}
    await _announce_created(tx, pinned)
    return await queue(tx, run, **_pinned(pinning))


async def look_again(tx: Transaction) -> None:
    """Poke for every waiting run of the tenant: a definition was published."""
    for run_id in await runs.unended(tx, "waiting"):
        await poke(tx, run_id)
