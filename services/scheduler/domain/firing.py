"""What is due: which nominal times run, which are recorded as missed, and when to look again."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from libs.common.vocabulary.schedules import CalendarSpec, ScheduleSpec
from services.scheduler.domain.calendars import business_date, is_business_day
from services.scheduler.domain.cron import Cron

_MOST = 1000


@dataclass(frozen=True, slots=True)
class Due:
    """One nominal time: it runs, unless `missed` says why not."""

    nominal: datetime
    business_date: date
    missed: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a look at a schedule gives: its due times, oldest first, and the next one."""

    due: tuple[Due, ...]
    next_run_at: datetime


def plan(spec: ScheduleSpec, calendar: CalendarSpec | None, next_run_at: datetime, now: datetime) -> Plan:
    """Decide about everything from `next_run_at` up to `now`; at most 1,000 times at once."""
    cron = Cron(spec.cron, spec.time_zone)
    nominals = [next_run_at] if next_run_at <= now else []
    upcoming = cron.after(next_run_at)
    following = next(upcoming)
    while nominals and following <= now and len(nominals) < _MOST:
        nominals.append(following)
        following = next(upcoming)
    runnable = [nominal for nominal in nominals if _counts(spec, calendar, nominal)]
    due = tuple(_decide(spec, calendar, nominal, runnable[-1], now) for nominal in runnable)
    return Plan(due, following if nominals else next_run_at)


def _decide(
    spec: ScheduleSpec, calendar: CalendarSpec | None, nominal: datetime, latest: datetime, now: datetime
) -> Due:
    missed = None
    if spec.catch_up == "latest" and nominal != latest:
        missed = "a later due time has passed as well, and only the latest runs"
    elif spec.catch_up == "none" and now - nominal > timedelta(seconds=spec.grace_seconds):
        missed = f"it was due more than {spec.grace_seconds} seconds ago"
    return Due(nominal, business_date(spec.business_date, calendar, nominal, spec.time_zone), missed)


def _counts(spec: ScheduleSpec, calendar: CalendarSpec | None, nominal: datetime) -> bool:
    """Say whether a nominal time is one at all: not where only business days are wanted and it is none."""
    if not spec.business_days_only:
        return True
    return is_business_day(calendar, nominal.astimezone(ZoneInfo(spec.time_zone)).date())


def preview(spec: ScheduleSpec, calendar: CalendarSpec | None, now: datetime, count: int) -> list[Due]:
    """Return the next firings after `now`."""
    upcoming = islice(Cron(spec.cron, spec.time_zone).after(now), count * 60)
    counted = (nominal for nominal in upcoming if _counts(spec, calendar, nominal))
    return [
        Due(nominal, business_date(spec.business_date, calendar, nominal, spec.time_zone))
        for nominal in islice(counted, count)
    ]


def first_run(spec: ScheduleSpec, now: datetime) -> datetime:
    """Return the first due time after `now`."""
    return next(Cron(spec.cron, spec.time_zone).after(now))
