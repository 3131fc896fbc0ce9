"""Due times, by a table of clock changes and against an independent implementation (S1, S40)."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.domain.cron import BadCronError, Cron

BERLIN = "Europe/Berlin"


def local(text: str, zone: str = BERLIN, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("30 2 * * *", local("2026-03-28T12:00"), [local("2026-03-29T03:00"), local("2026-03-30T02:30")]),
        ("30 2 * * *", local("2026-10-24T12:00"), [local("2026-10-25T02:30"), local("2026-10-26T02:30")]),
        ("0 * * * *", local("2026-03-29T01:00"), [local("2026-03-29T03:00"), local("2026-03-29T04:00")]),
        ("0 * * * *", local("2026-10-25T01:00"), [local("2026-10-25T02:00"), local("2026-10-25T02:00", fold=1)]),
        ("*/30 * * * *", local("2026-10-25T02:00"), [local("2026-10-25T02:30"), local("2026-10-25T02:00", fold=1)]),
        ("0 0 L * *", local("2026-02-01T00:00"), [local("2026-02-28T00:00"), local("2026-03-31T00:00")]),
    ],
    ids=["fixed in the gap", "fixed in the fold", "hourly over the gap", "hourly over the fold", "half-hourly", "last"],
)
def test_due_times_over_clock_changes(expression: str, after: datetime, expected: list[datetime]) -> None:
    """A skipped time is due at the end of the gap, a repeated one once; wildcards follow real time (S1)."""
    assert list(islice(Cron(expression, BERLIN).after(after), 2)) == expected


@settings(max_examples=150)
@given(
    expression=st.sampled_from(
        ["30 2 * * *", "0 * * * *", "*/30 * * * *", "15 1,2,3 * * 0", "5 */2 * * *", "0 3 * * 1-5"]
    ),
    zone=st.sampled_from([BERLIN, "America/New_York", "UTC", "Asia/Kolkata", "Europe/London", "America/Santiago"]),
    start=st.datetimes(datetime(2025, 1, 1), datetime(2029, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 - zones come apart
)
def test_due_times_equal_those_of_an_independent_implementation(expression: str, zone: str, start: datetime) -> None:
    """Our due times are cronsim's (S40)."""
    start = start.replace(microsecond=0)
    independent = CronSim(expression, start.astimezone(ZoneInfo(zone)))
    expected = [next(independent).astimezone(UTC) for _ in range(30)]
    assert list(islice(Cron(expression, zone).after(start), 30)) == expected


@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia", "America/Sao_Paulo"])
def test_real_time_expressions_equal_a_minute_by_minute_oracle(zone: str) -> None:
    """A wildcard expression is due in exactly the minutes whose local time it matches."""
    start = datetime(2026, 4, 3, tzinfo=UTC)
    minutes = (start + timedelta(minutes=number) for number in range(1, 4 * 24 * 60))
    expected = [moment for moment in minutes if moment.astimezone(ZoneInfo(zone)).minute in (0, 20, 40)]
    assert list(islice(Cron("*/20 * * * *", zone).after(start), len(expected))) == expected


@pytest.mark.parametrize("expression", ["* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "a b c d e", "@reboot"])
def test_what_is_no_cron_expression_is_refused(expression: str) -> None:
    """Six fields, bad numbers and dates that never come are refused (S27)."""
    with pytest.raises(BadCronError):
        Cron(expression, "UTC")
