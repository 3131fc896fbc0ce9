from datetime import date
from typing import Annotated, Literal
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field

from libs.common.misfits import MisfitError
from libs.common.nearest import nearest_name
from libs.common.vocabulary.base import Strict


def _known_zone(value: str) -> str:
    if value not in available_timezones():
        told = f"{value!r} is no time zone of the IANA database, such as Europe/Berlin"
        near = nearest_name(value, available_timezones())
        raise MisfitError(told, expected="a time zone such as Europe/Berlin", nearest=near)
    return value


TimeZone = Annotated[str, Field(max_length=64), AfterValidator(_known_zone)]


class CalendarSpec(Strict):
    """Which days are business days: all but `weekend` (ISO, 1 is Monday) and the holidays.

    `market` adds the holidays of a financial market by its ISO 10383 code; `XECB` is TARGET.
    """

    weekend: tuple[int, ...] = (6, 7)
    holidays: tuple[date, ...] = Field(default=(), max_length=2000)
    market: Literal["XECB", "XNYS", "XLON", "IFEU", "XNSE", "XBOM", "BVMF"] | None = None


class SameDay(Strict):
    """The business date is the firing's own day in the schedule's zone."""

    kind: Literal["same"] = "same"


class PreviousDay(Strict):
    """The business date is the nth day before: of the schedule's calendar, or, without one, of all days."""

    kind: Literal["previous"] = "previous"
    days: int = Field(default=1, ge=1, le=366)


BusinessDate = Annotated[SameDay | PreviousDay, Field(discriminator="kind")]


class ScheduleSpec(Strict):
    """When a report is due.

    `cron` has five fields and means local time in `time_zone`. A fixed time that the clocks skip is due at the first
    instant after the gap; one that they repeat is due once, the first time. Fields with `*` in minute or hour follow
    real time through both. `catch_up` says what becomes of due times that passed unattended: every one runs, only the
    latest, or none that is older than `grace_seconds`; those that do not run are recorded as missed.
    """

    report_id: UUID
    cron: str = Field(min_length=9, max_length=200)
    time_zone: TimeZone = "UTC"
    calendar_id: UUID | None = None
    business_days_only: bool = False
    business_date: BusinessDate = PreviousDay()
    catch_up: Literal["all", "latest", "none"] = "all"
    grace_seconds: int = Field(default=300, ge=0, le=86_400)
