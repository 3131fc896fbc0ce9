"""Business days and business dates."""

from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

from libs.common.vocabulary.schedules import BusinessDate, CalendarSpec, SameDay

_FURTHEST = 400


@lru_cache(maxsize=200)
def _market_holidays(market: str, year: int) -> frozenset[date]:
    return frozenset(holidays.financial_holidays(market, years=year))


def is_business_day(calendar: CalendarSpec | None, day: date) -> bool:
    """Say whether a day is a business day; without a calendar every day is."""
    if calendar is None:
        return True
    if day.isoweekday() in calendar.weekend or day in calendar.holidays:
        return False
    return calendar.market is None or day not in _market_holidays(calendar.market, day.year)


def business_date(policy: BusinessDate, calendar: CalendarSpec | None, nominal: datetime, zone: str) -> date:
    """Return the business date of a firing that is due at `nominal`.

    Raises:
        ValueError: the calendar has no business day within the last 400 days for each day asked for.
    """
    day = nominal.astimezone(ZoneInfo(zone)).date()
    if isinstance(policy, SameDay):
        return day
    for _ in range(policy.days):
        day = _previous(calendar, day)
    return day


def _previous(calendar: CalendarSpec | None, day: date) -> date:
    for back in range(1, _FURTHEST):
        earlier = day - timedelta(days=back)
        if is_business_day(calendar, earlier):
            return earlier
    raise ValueError(f"the calendar has no business day in the {_FURTHEST} days before {day}")
