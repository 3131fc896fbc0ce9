"""The language's functions once more, in plain Python, for the slow interpreter; nothing of the compiler is used."""

import csv
import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cache
from math import floor
from pathlib import Path
from typing import Any

_CODES = Path(__file__).parents[2] / "libs" / "expressions" / "codes"
_CALENDAR = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))
_IBAN = {"DE": 22, "GB": 22, "FR": 27, "NO": 15, "MT": 31, "BE": 16}


@cache
def listed(name: str) -> frozenset[str]:
    """Return the codes of a list, read from its file."""
    with (_CODES / f"{name}.csv").open(encoding="utf-8") as file:
        return frozenset(row[0] for row in csv.reader(file))


def places_of(value: Fraction) -> int:
    """Return how many decimal places a fraction that has an end needs."""
    return next(n for n in range(60) if 10**n % value.denominator == 0)


def half_even(value: Fraction, places: int) -> Fraction:
    return Fraction(round(value * 10**places), 10**places)


def half_up(value: Fraction, places: int) -> Fraction:
    whole = floor(abs(value) * 10**places + Fraction(1, 2))
    return Fraction(whole if value >= 0 else -whole, 10**places)


def one_case(text: str, change: Callable[[str], str]) -> str:
    single = {"ß": "ẞ"} if change is str.upper else {"İ": "i"}
    return "".join(single.get(char) or change(char) for char in text)


def substring(text: str, start: Fraction, length: Fraction | None = None) -> str:
    begin = max(int(start), 1) - 1
    return text[begin:] if length is None else text[begin : begin + max(int(length), 0)]


def right(text: str, count: Fraction) -> str:
    return text[max(len(text) - max(int(count), 0), 0) :]


def to_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        fraction = f".{value.microsecond:06}".rstrip("0") if value.microsecond else ""
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + fraction + "Z"
    if isinstance(value, date):
        return value.isoformat()
    return plain(value) if isinstance(value, Fraction) else str(value)


def plain(value: Fraction) -> str:
    """Write a fraction that has an end, without trailing zeros."""
    places = places_of(value)
    figures = str(abs(int(value * 10**places))).rjust(places + 1, "0")
    written = f"{figures[:-places]}.{figures[-places:]}" if places else figures
    return f"-{written}" if value < 0 else written


def to_integer(text: str) -> Fraction | None:
    return Fraction(int(text)) if re.fullmatch("[+-]?[0-9]{1,18}", text, re.ASCII) else None


def to_decimal(text: str) -> Fraction | None:
    return Fraction(text) if re.fullmatch(r"[+-]?0*[0-9]{1,18}(\.[0-9]{1,10}0*)?", text, re.ASCII) else None


def to_date(text: str) -> date | None:
    if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def to_timestamp(text: str) -> datetime | None:
    found = re.fullmatch(
        r"(\d{4}-\d{2}-\d{2})[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6})0{0,3})?)?(Z|[+-]\d{2}(?::?\d{2})?)",
        text,
        re.ASCII,
    )
    day = to_date(found[1]) if found else None
    if not found or day is None or int(found[2]) > 23 or int(found[3]) > 59 or int(found[4] or 0) > 59:
        return None
    zone = found[6]
    hours, minutes = (0, 0) if zone == "Z" else (int(zone[1:3]), int(zone[3:].strip(":") or 0))
    if hours > 14 or minutes > 59:
        return None
    offset = timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)
    micro = int((found[5] or "0").ljust(6, "0"))
    local = datetime(day.year, day.month, day.day, int(found[2]), int(found[3]), int(found[4] or 0), micro, UTC)
    try:
        return local - offset
    except OverflowError:
        return None


def later(value: date | datetime, months: int, days: int, digits: int, count: int) -> date | datetime | None:
    if abs(count) >= 10**digits:
        return None
    try:
        if days:
            return value + timedelta(days=count)
        place = value.year * 12 + value.month - 1 + months * count
        year, month = divmod(place, 12)
        return value.replace(year=year, month=month + 1, day=min(value.day, monthrange(year, month + 1)[1]))
    except (ValueError, OverflowError, IndexError):
        return None


def mod_97(text: str) -> int:
    return int("".join(str(int(char, 36)) for char in text)) % 97


def lei(text: str) -> bool:
    return bool(re.fullmatch("[0-9A-Z]{18}[0-9]{2}", text)) and 2 <= int(text[18:]) <= 98 and mod_97(text) == 1


def isin(text: str) -> bool:
    if not re.fullmatch("[A-Z]{2}[0-9A-Z]{9}[0-9]", text):
        return False
    figures = "".join(str(int(char, 36)) for char in text)
    return sum(sum(divmod(int(one) * (1 + place % 2), 10)) for place, one in enumerate(reversed(figures))) % 10 == 0


def iban(text: str) -> bool:
    if len(text) != _IBAN.get(text[:2]) or not re.fullmatch("[A-Z]{2}[0-9]{2}[0-9A-Z]+", text):
        return False
    return 2 <= int(text[2:4]) <= 98 and mod_97(text[4:] + text[:4]) == 1


def uti(text: str) -> bool:
    return lei(text[:20]) and bool(re.fullmatch("[A-Z0-9]{1,32}", text[20:]))


def day_of(value: date | datetime) -> date:
    return value.astimezone(UTC).date() if isinstance(value, datetime) else value


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "round": lambda value, places=Fraction(0): half_even(value, int(places)),
    "round_half_up": lambda value, places=Fraction(0): half_up(value, int(places)),
    "floor": lambda value: Fraction(floor(value)),
    "ceil": lambda value: Fraction(-floor(-value)),
    "min_of": lambda *values: min(values),
    "max_of": lambda *values: max(values),
    "upper": lambda text: one_case(text, str.upper),
    "lower": lambda text: one_case(text, str.lower),
    "trim": lambda text: text.strip(" \t\n\r"),
    "length": lambda text: Fraction(len(text)),
    "substring": substring,
    "left": lambda text, count: text[: max(int(count), 0)],
    "right": right,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "contains": lambda text, part: part in text,
    "replace": str.replace,
    "matches": lambda text, pattern: re.fullmatch(pattern, text, re.ASCII) is not None,
    "concat": lambda *texts: "".join(texts),
    "to_text": to_text,
    "to_integer": to_integer,
    "to_decimal": to_decimal,
    "to_date": to_date,
    "to_timestamp": to_timestamp,
    "date": lambda value: to_date(value) if isinstance(value, str) else day_of(value),
    "timestamp": lambda value: to_timestamp(value) if isinstance(value, str) else value,
    "year": lambda value: Fraction(day_of(value).year),
    "month": lambda value: Fraction(day_of(value).month),
    "day": lambda value: Fraction(day_of(value).day),
    "days_between": lambda start, end: Fraction((end - start).days),
    "add_days": lambda value, count: later(value, 0, 1, 7, int(count)),
    "add_months": lambda value, count: later(value, 1, 0, 6, int(count)),
    "add_years": lambda value, count: later(value, 12, 0, 5, int(count)),
    "lei": lei,
    "isin": isin,
    "iban": iban,
    "uti": uti,
    "mic": lambda text: text in listed("mic"),
    "currency": lambda text: text in listed("currency"),
    "country": lambda text: text in listed("country"),
    "cfi": lambda text: bool(re.fullmatch("[ECDRFOSHIJKLTM][A-Z]{5}", text)),
    "bic": lambda text: bool(re.fullmatch("[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?", text)),
}
