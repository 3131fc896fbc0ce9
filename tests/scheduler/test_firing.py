"""What a look at a schedule decides (S1)."""

from datetime import UTC, date, datetime
from uuid import uuid4

import pytest

from libs.common.vocabulary.schedules import CalendarSpec, PreviousDay, SameDay, ScheduleSpec
from services.scheduler.domain.calendars import business_date, is_business_day
from services.scheduler.domain.firing import plan, preview

REPORT = uuid4()
TARGET = CalendarSpec(market="XECB")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def daily(**changes: object) -> ScheduleSpec:
    return ScheduleSpec.model_validate({"report_id": REPORT, "cron": "0 6 * * *", **changes})


@pytest.mark.parametrize(
    ("policy", "runs", "missed"),
    [("all", 3, 0), ("latest", 1, 2), ("none", 0, 3)],
)
def test_missed_ticks_follow_the_catch_up_policy(policy: str, runs: int, missed: int) -> None:
    """Three due times passed unattended: all run, the latest runs, or none; the others are recorded (S1)."""
    decided = plan(daily(catch_up=policy), None, at("2026-03-01T06:00"), at("2026-03-03T09:00"))
    assert [bool(due.missed) for due in decided.due].count(False) == runs
    assert [bool(due.missed) for due in decided.due].count(True) == missed
    assert decided.next_run_at == at("2026-03-04T06:00")


def test_nothing_is_due_before_its_time() -> None:
    """A look too early decides nothing and keeps the next time."""
    decided = plan(daily(), None, at("2026-03-04T06:00"), at("2026-03-03T09:00"))
    assert (decided.due, decided.next_run_at) == ((), at("2026-03-04T06:00"))


@pytest.mark.parametrize(
    ("policy", "calendar", "nominal", "expected"),
    [
        (SameDay(), None, "2026-03-02T06:00", date(2026, 3, 2)),
        (PreviousDay(), None, "2026-03-02T06:00", date(2026, 3, 1)),
        (PreviousDay(), TARGET, "2026-03-02T06:00", date(2026, 2, 27)),
        (PreviousDay(days=2), TARGET, "2026-04-07T06:00", date(2026, 4, 1)),
        (PreviousDay(), TARGET, "2026-01-02T06:00", date(2025, 12, 31)),
    ],
    ids=["same", "calendar day", "over a weekend", "over Easter", "over New Year"],
)
def test_the_business_date(
    policy: SameDay | PreviousDay, calendar: CalendarSpec | None, nominal: str, expected: date
) -> None:
    """The business date is the nth previous day of the calendar in its zone (S1)."""
    assert business_date(policy, calendar, at(nominal), "UTC") == expected


def test_the_business_date_is_the_zones_own() -> None:
    """Half past eleven in the evening in UTC is the next day in Berlin."""
    assert business_date(SameDay(), None, at("2026-03-02T23:30"), "Europe/Berlin") == date(2026, 3, 3)


def test_only_business_days_are_previewed_where_wanted() -> None:
    """Holidays and weekends are left out."""
    spec = daily(business_days_only=True, business_date={"kind": "same"})
    days = [due.business_date for due in preview(spec, TARGET, at("2026-04-01T12:00"), 3)]
    assert days == [date(2026, 4, 2), date(2026, 4, 7), date(2026, 4, 8)]
    assert not is_business_day(TARGET, date(2026, 5, 1))
