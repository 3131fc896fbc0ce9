from datetime import UTC, date, datetime

from libs.expressions.errors import Refusal
from libs.expressions.functions.registry import function
from libs.expressions.instants import FIRST_INSTANT, LAST_INSTANT, read_date, read_timestamp
from libs.expressions.numbers import fit
from libs.expressions.values import Value, date_constant, shared, timestamp_constant

_GROUP = "Dates and times"
_FIRST, _LAST = "DATE '0001-01-01'", "DATE '9999-12-31'"


@function(
    "date(value: any)",
    "date",
    "The day written as '2025-01-31' (a literal), or the UTC day of a timestamp.",
    group=_GROUP,
)
def _date(value: Value) -> Value:
    if value.type in ("date", "timestamp"):
        return Value(f"CAST({value.sql} AS DATE)", "date", value.weight + 1, constant=_day(value))
    return date_constant(read_date(_written(value, "date('2025-01-31'), or to_date(...) for a field")))


@function(
    "timestamp(value: any)", "timestamp", "The instant written as '2025-01-31T10:00:00Z' (a literal).", group=_GROUP
)
def _timestamp(value: Value) -> Value:
    if value.type == "timestamp":
        return value
    return timestamp_constant(
        read_timestamp(_written(value, "timestamp('2025-01-31T10:00:00Z'), or to_timestamp(...) for a field"))
    )


def _day(value: Value) -> date | None:
    if isinstance(value.constant, datetime):
        return value.constant.astimezone(UTC).date()
    return value.constant if isinstance(value.constant, date) else None


def _written(value: Value, expected: str) -> str:
    if not isinstance(value.constant, str):
        raise Refusal(f"cannot read {value.type} here", expected=expected, argument=0)
    return value.constant


def _part(name: str, value: Value) -> Value:
    return Value(f"{name}({value.sql})", "integer", value.weight + 1, 0, 9999, "BIGINT")


@function("year(value: moment)", "integer", "The year; of a timestamp in UTC.", group=_GROUP)
def _year(value: Value) -> Value:
    return _part("year", value)


@function("month(value: moment)", "integer", "The month, 1 to 12; of a timestamp in UTC.", group=_GROUP)
def _month(value: Value) -> Value:
    return _part("month", value)


@function("day(value: moment)", "integer", "The day of the month, 1 to 31; of a timestamp in UTC.", group=_GROUP)
def _day_of_month(value: Value) -> Value:
    return _part("day", value)


@function(
    "days_between(start: date, end: date)",
    "integer",
    "Days from `start` to `end`; negative when `end` is earlier.",
    group=_GROUP,
)
def _days_between(start: Value, end: Value) -> Value:
    return Value(
        f"CAST({end.sql} - {start.sql} AS BIGINT)", "integer", start.weight + end.weight + 2, 0, 4_000_000, "BIGINT"
    )


@function(
    "add_days(value: moment, count: integer)",
    "same type",
    "That many days later; null outside the years 1 to 9999.",
    group=_GROUP,
)
def _add_days(value: Value, count: Value) -> Value:
    return _later(value, count, "to_days", 7)


@function(
    "add_months(value: moment, count: integer)",
    "same type",
    "That many months later, at most to the month's last day; null outside the years 1 to 9999.",
    group=_GROUP,
)
def _add_months(value: Value, count: Value) -> Value:
    return _later(value, count, "to_months", 6)


@function(
    "add_years(value: moment, count: integer)",
    "same type",
    "That many years later (29 February becomes 28); null outside the years 1 to 9999.",
    group=_GROUP,
)
def _add_years(value: Value, count: Value) -> Value:
    return _later(value, count, "to_years", 5)


def _later(value: Value, count: Value, unit: str, width: int) -> Value:
    """Add an interval of at most `width` digits, which cannot leave the engine's range, and keep four-digit years."""
    kind, first, last = (
        ("DATE", _FIRST, _LAST) if value.type == "date" else ("TIMESTAMPTZ", FIRST_INSTANT, LAST_INSTANT)
    )
    moved = f"CAST({value.sql} + {unit}(CAST({fit(count, width, 0)} AS INTEGER)) AS {kind})"
    result = Value(moved, value.type, value.weight + count.weight + 3)
    return shared(
        result,
        lambda day: Value(
            f"(CASE WHEN {day.sql} BETWEEN {first} AND {last} THEN {day.sql} END)", value.type, day.weight + 2
        ),
    )
