"""What can be done with schedules, and what they do when they are due."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from asyncpg import UniqueViolationError
from pydantic import TypeAdapter

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions import copies
from libs.common.definitions import store as definitions
from libs.common.definitions.commands import Definitions, NotYetVisible, loggable
from libs.common.definitions.kinds import Kind
from libs.common.errors import Conflict, FieldProblem, Invalid
from libs.common.events.scheduler import ScheduleChanged, ScheduleFired, ScheduleMissed
from libs.common.http.door import require_revision
from libs.common.ids import derived_id, uuid7
from libs.common.tenancy import is_active
from libs.common.vocabulary.schedules import CalendarSpec, ScheduleSpec
from services.scheduler import store
from services.scheduler.domain.cron import BadCronError, Cron
from services.scheduler.domain.firing import Due, first_run, plan, preview

KINDS: dict[str, Kind] = {"calendar": Kind("calendar", "calendars", TypeAdapter(CalendarSpec))}
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


async def create(tx: Transaction, name: str, spec: ScheduleSpec) -> UUID:
    """Add a schedule; it is due from now on.

    Raises:
        Invalid: the cron expression or a reference is wrong.
        Conflict: the name is taken.
    """
    await _require_usable(tx, spec)
    id_ = uuid7(tx.context.now)
    values = {"report_id": spec.report_id, "calendar_id": spec.calendar_id, "spec": spec.model_dump(mode="json")}
    try:
        await store.add(tx, id=id_, name=name, next_run_at=first_run(spec, tx.context.now), **values)
    except UniqueViolationError as error:
        raise _name_taken(name) from error
    await _announce(tx, "created", id_, name, spec.report_id, after=values["spec"])
    return id_


async def edit(tx: Transaction, id_: UUID, revision: int, name: str, spec: ScheduleSpec) -> None:
    """Change a schedule; it is due by its new description from now on.

    Raises:
        NotFound: there is no such schedule.
        PreconditionFailed: it changed since it was read.
        Invalid: the cron expression or a reference is wrong.
        Conflict: the name is taken.
    """
    row = await store.lock(tx, id_)
    require_revision(revision, row["revision"])
    await _require_usable(tx, spec)
    values = {"report_id": spec.report_id, "calendar_id": spec.calendar_id, "spec": spec.model_dump(mode="json")}
    try:
        await store.change(tx, id_, revision, name=name, next_run_at=first_run(spec, tx.context.now), **values)
    except UniqueViolationError as error:
        raise _name_taken(name) from error
    await _announce(tx, "updated", id_, name, spec.report_id, before=row["spec"], after=values["spec"])


async def pause(tx: Transaction, id_: UUID) -> None:
    """Fire no more until resumed.

    Raises:
        NotFound: there is no such schedule.
    """
    row = await store.lock(tx, id_)
    if row["status"] == "active":
        await store.change(tx, id_, row["revision"], status="paused")
        await _announce(tx, "paused", id_, row["name"], row["report_id"])


async def resume(tx: Transaction, id_: UUID) -> None:
    """Fire again from now on; what passed meanwhile does not run.

    Raises:
        NotFound: there is no such schedule.
    """
    row = await store.lock(tx, id_)
    if row["status"] == "paused":
        due = first_run(ScheduleSpec.model_validate(row["spec"]), tx.context.now)
        await store.change(tx, id_, row["revision"], status="active", next_run_at=due)
        await _announce(tx, "resumed", id_, row["name"], row["report_id"])


async def remove(tx: Transaction, id_: UUID) -> None:
    """Delete a schedule.

    Raises:
        NotFound: there is no such schedule.
    """
    row = await store.lock(tx, id_)
    await store.remove(tx, id_)
    await _announce(tx, "deleted", id_, row["name"], row["report_id"], before=row["spec"])


async def foresee(tx: Transaction, own: Definitions, spec: ScheduleSpec, count: int) -> list[Due]:
    """Return the next firings of a schedule that need not exist.

    Raises:
        Invalid: the cron expression or the calendar is wrong.
    """
    _require_cron(spec)
    calendar, _ = await _calendar(tx, own, spec, tx.context.now.date())
    return preview(spec, calendar, tx.context.now, count)


async def fire(tx: Transaction, own: Definitions, id_: UUID) -> int:
    """Fire a schedule that is due, once for each nominal time; returns how many runs that gives."""
    row = await store.lock(tx, id_)
    if row["status"] != "active" or row["next_run_at"] > tx.context.now:
        return 0
    spec = ScheduleSpec.model_validate(row["spec"])
    calendar, version = await _calendar(tx, own, spec, row["next_run_at"].date())
    decided = plan(spec, calendar, row["next_run_at"], tx.context.now)
    active = await is_active(tx)
    fired = 0
    for due in decided.due:
        told = due if active or due.missed else replace(due, missed="the tenant is suspended")
        fired += await _settle(tx, row, spec, told, version)
    await store.advance(tx, id_, decided.next_run_at, _LONG_AGO)
    return fired


async def _settle(tx: Transaction, row: Row, spec: ScheduleSpec, due: Due, calendar_version: int | None) -> int:
    firing_id = derived_id("firing", str(tx.tenant_id), str(row["id"]), due.nominal.isoformat())
    if not await store.add_firing(tx, row["id"], firing_id, due):
        return 0
    if due.missed:
        missed = ScheduleMissed(
            schedule_id=row["id"], report_id=row["report_id"], nominal_time=due.nominal, reason=due.missed
        )
        await tx.emit("schedule.missed", missed, entity=row["id"])
        return 0
    fired = ScheduleFired(
        schedule_id=row["id"],
        firing_id=firing_id,
        report_id=row["report_id"],
        nominal_time=due.nominal,
        business_date=due.business_date,
        calendar_id=spec.calendar_id,
        calendar_version=calendar_version,
    )
    await tx.emit("schedule.fired", fired, entity=row["id"])
    return 1


async def _calendar(
    tx: Transaction, own: Definitions, spec: ScheduleSpec, on: date
) -> tuple[CalendarSpec | None, int | None]:
    if spec.calendar_id is None:
        return None, None
    row = await definitions.owned_in_force(tx, spec.calendar_id, on)
    if row is None:
        problem = FieldProblem("/spec/calendar_id", f"no version of it is in force on {on}")
        raise Invalid("The calendar cannot be used.", type="bad-reference", fields=[problem])
    pinned = copies.Pinned("calendar", row["definition_id"], row["number"], row["object_key"], row["sha256"])
    return CalendarSpec.model_validate(await own.sealed.read(pinned)), row["number"]


async def _require_usable(tx: Transaction, spec: ScheduleSpec) -> None:
    _require_cron(spec)
    report = await copies.newest(tx, "report", spec.report_id)
    if report is None:
        problem = FieldProblem("/spec/report_id", "is no published report known here")
        raise NotYetVisible("The report is not published, or not known here yet.", fields=[problem], retry_after=1)
    if report["archived"]:
        problem = FieldProblem("/spec/report_id", "the report is archived")
        raise Invalid("It refers to something that cannot be used.", type="bad-reference", fields=[problem])
    if (
        spec.calendar_id is not None
        and await definitions.target_status(tx, "calendar", spec.calendar_id) != "published"
    ):
        problem = FieldProblem("/spec/calendar_id", "is no published calendar")
        raise Invalid("It refers to something that cannot be used.", type="bad-reference", fields=[problem])


def _require_cron(spec: ScheduleSpec) -> None:
    try:
        Cron(spec.cron, spec.time_zone)
    except BadCronError as error:
        raise Invalid("The cron expression cannot be used.", fields=[FieldProblem("/spec/cron", str(error))]) from error


async def _announce(
    tx: Transaction, verb: str, id_: UUID, name: str, report_id: UUID, *, before: Any = None, after: Any = None
) -> None:
    data = ScheduleChanged(
        schedule_id=id_, name=name, report_id=report_id, before=loggable(before), after=loggable(after)
    )
    await tx.emit(f"schedule.{verb}", data, entity=id_)


def _name_taken(name: str) -> Conflict:
    problem = FieldProblem("/name", "is the name of another one")
    return Conflict(f"There is a schedule named {name!r} already.", type="name-taken", fields=[problem])
