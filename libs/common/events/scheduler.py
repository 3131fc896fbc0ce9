from datetime import date, datetime
from typing import Any
from uuid import UUID

from libs.common.events.definitions import definition_events
from libs.common.events.envelope import Data


class ScheduleChanged(Data):
    """A schedule came to be, changed, was paused, resumed or deleted."""

    schedule_id: UUID
    name: str
    report_id: UUID
    before: Any = None
    after: Any = None


class ScheduleFired(Data):
    """A schedule is due: the runner makes one run of it. The same firing has the same id however often it is said."""

    schedule_id: UUID
    firing_id: UUID
    report_id: UUID
    nominal_time: datetime
    business_date: date
    calendar_id: UUID | None = None
    calendar_version: int | None = None


class ScheduleMissed(Data):
    """A due time passed without a run, by the declared catch-up policy."""

    schedule_id: UUID
    report_id: UUID
    nominal_time: datetime
    reason: str


EVENTS: dict[str, type[Data]] = {
    **definition_events("calendar"),
    "schedule.created": ScheduleChanged,
    "schedule.updated": ScheduleChanged,
    "schedule.paused": ScheduleChanged,
    "schedule.resumed": ScheduleChanged,
    "schedule.deleted": ScheduleChanged,
    "schedule.fired": ScheduleFired,
    "schedule.missed": ScheduleMissed,
}
