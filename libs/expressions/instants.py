"""How dates and instants are written: one reading for literals, one set of patterns for data."""

import re
from datetime import UTC, date, datetime

from libs.expressions.errors import Refusal

DATE_PATTERN = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
TIMESTAMP_PATTERN = (
    DATE_PATTERN + r"[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6}0{0,3})?)?"
    r"(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)"
)

FIRST_INSTANT = "TIMESTAMPTZ '0001-01-01 00:00:00+00'"
LAST_INSTANT = "TIMESTAMPTZ '9999-12-31 23:59:59.999999+00'"
"""SQL of the first and the last instant of the calendar."""


def read_date(written: str) -> date:
    """Read an ISO 8601 day, `2025-01-31`; Refusal otherwise."""
    try:
        if re.fullmatch(DATE_PATTERN, written):
            return date.fromisoformat(written)
    except ValueError:
        pass
    raise Refusal("not a day of the calendar", expected="YYYY-MM-DD", argument=0)


def read_timestamp(written: str) -> datetime:
    """Read an ISO 8601 instant with its zone, `2025-01-31T10:00:00Z`; Refusal otherwise, also outside the years 1 to 9999."""
    try:
        if re.fullmatch(TIMESTAMP_PATTERN, written):
            read = datetime.fromisoformat(re.sub(r"(\.[0-9]{6})0+", r"\1", written))
            read.astimezone(UTC)  # a zone could lead out of the calendar
            return read
    except (ValueError, OverflowError):
        pass
    wanted = "YYYY-MM-DDTHH:MM:SSZ, with at most 6 places after the second"
    raise Refusal("not an instant with a zone", expected=wanted, argument=0)


def date_sql(raw: str) -> str:
    """Return SQL of the date that the text `raw` writes; null for anything else."""
    return f"TRY_CAST(CASE WHEN regexp_full_match({raw}, '{DATE_PATTERN}') AND {raw} >= '0001' THEN {raw} END AS DATE)"


def timestamp_sql(raw: str) -> str:
    """Return SQL of the instant that the text `raw` writes; null for anything else.

    At the two ends of the calendar an offset could lead out of the years 1 to 9999: only there it is worked out first.
    """
    certain = f"({raw} >= '0001-01-02' AND {raw} < '9999-12-31')"
    inside = f"({raw} >= '0001' AND TRY_CAST({raw} AS TIMESTAMPTZ) BETWEEN {FIRST_INSTANT} AND {LAST_INSTANT})"
    fits = f"regexp_full_match({raw}, '{TIMESTAMP_PATTERN}') AND ({certain} OR {inside})"
    return f"TRY_CAST(CASE WHEN {fits} THEN {raw} END AS TIMESTAMPTZ)"


def timestamp_text(sql: str) -> str:
    """Return SQL of an instant's ISO 8601 text in UTC, its fraction as short as it gets."""
    return f"regexp_replace(strftime({sql}, '%Y-%m-%dT%H:%M:%S.%fZ'), '\\.?0+Z$', 'Z')"
