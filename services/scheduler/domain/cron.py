"""Cron expressions in a time zone, right through clock changes.

Fixed times are looked for on the naive local calendar and then resolved; expressions with a wildcard in minute or hour
follow real time, one stretch of constant offset after another (croniter given zoned times fires a fixed 02:30 twice on
the day that clocks go back).
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter
from croniter.croniter import CroniterError

_FIELDS = 5
_RESOLUTION = timedelta(seconds=1)


class BadCronError(ValueError):
    """The expression is no cron expression of five fields, or is never due."""


class Cron:
    """A cron expression (minute, hour, day of month, month, day of week) in a time zone."""

    def __init__(self, expression: str, zone: str) -> None:
        """Parse.

        Raises:
            BadCronError: says what is wrong.
        """
        fields = expression.split()
        if len(fields) != _FIELDS:
            raise BadCronError(f"a cron expression has 5 fields: minute hour day month weekday; this has {len(fields)}")
        self._expression = " ".join(fields)
        self._zone = ZoneInfo(zone)
        self._wild = any("*" in field for field in fields[:2])
        try:
            croniter(self._expression, datetime(2000, 1, 1)).get_next(datetime)  # noqa: DTZ001 - local calendar
        except (CroniterError, ValueError, KeyError) as error:
            raise BadCronError(str(error)) from error

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield the due instants after `instant`, in UTC, ascending."""
        last = instant
        while True:
            last = self._next(last)
            yield last

    def _next(self, instant: datetime) -> datetime:
        return self._next_in_real_time(instant) if self._wild else self._next_fixed(instant)

    def _next_fixed(self, instant: datetime) -> datetime:
        # a day back: a repeated or skipped hour can put the local order behind the real one
        local = instant.astimezone(self._zone).replace(tzinfo=None) - timedelta(days=1)
        iterator = croniter(self._expression, local)
        while True:
            due = self._resolve(iterator.get_next(datetime))
            if due > instant:
                return due

    def _resolve(self, local: datetime) -> datetime:
        """Return the instant of a local time: the first of two, or the end of the gap that swallows it."""
        due = local.replace(tzinfo=self._zone, fold=0).astimezone(UTC)
        if due.astimezone(self._zone).replace(tzinfo=None) == local:
            return due
        return self._change_between(due - timedelta(days=1), due + timedelta(days=1))

    def _next_in_real_time(self, instant: datetime) -> datetime:
        start, offset = instant, self._offset(instant)
        while True:
            local = (start + offset).replace(tzinfo=None)
            due = croniter(self._expression, local).get_next(datetime).replace(tzinfo=UTC) - offset
            if self._offset(due) == offset:
                return due
            # the clocks change in between: go on from there, the instant of the change included
            change = self._change_between(start, due)
            start, offset = change - _RESOLUTION, self._offset(change)

    def _offset(self, instant: datetime) -> timedelta:
        return instant.astimezone(self._zone).utcoffset() or timedelta()

    def _change_between(self, low: datetime, high: datetime) -> datetime:
        """Return the first instant, to the second, with the later offset."""
        low, high = low.replace(microsecond=0), high.replace(microsecond=0)
        later = self._offset(high)
        while high - low > _RESOLUTION:
            middle = (low + (high - low) / 2).replace(microsecond=0)
            if self._offset(middle) == later:
                high = middle
            else:
                low = middle
        return high
