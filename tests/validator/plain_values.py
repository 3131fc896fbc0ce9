"""Records for the slow judge: what stored values mean, as the documents say it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from libs.common.vocabulary.schemas import SchemaField
from tests.expressions.reference_functions import half_even, plain, to_text
from tests.expressions.reference_values import read_text

INT64 = 2**63


@dataclass(frozen=True)
class Cell:
    """A field of a record: the text that it is told by, its value, and whether the text is one of the field's type."""

    text: str | None
    value: Any
    sound: bool = True

    @property
    def bad(self) -> str | None:
        """The text of what is no value."""
        return None if self.sound else self.text


def cell(stored: Any, one: SchemaField) -> Cell:
    """Return what a stored value means for a field."""
    text = stored_text(stored)
    if not text:
        return Cell(text, None)
    value = _direct(stored, one)
    if value is None:
        value = read_text(text, one)
    return Cell(text, value, sound=value is not None)


def stored_text(stored: Any) -> str | None:
    """Return the text of a value as a source has it."""
    if stored is None or isinstance(stored, str):
        return stored
    if isinstance(stored, bool | date):
        zoned = not isinstance(stored, datetime) or stored.tzinfo is not None
        return to_text(stored) if zoned else re.sub(r"(\.[0-9]*?)0+$", r"\1", str(stored))
    return f"{stored:f}" if isinstance(stored, Decimal) else str(stored)


def _direct(stored: Any, one: SchemaField) -> Any:
    """Return a value that a column of the field's own kind has; null for others, which are read as texts."""
    whole = isinstance(stored, int) and not isinstance(stored, bool)
    if one.type == "integer" and whole:
        return Fraction(stored)
    if one.type == "decimal" and (whole or isinstance(stored, Decimal)):
        return within(Fraction(stored), one)
    kinds = {"boolean": bool, "date": date, "timestamp": datetime}
    same = isinstance(stored, kinds.get(one.type, ())) and isinstance(stored, datetime) == (one.type == "timestamp")
    return stored if same and (one.type != "timestamp" or stored.tzinfo) else None


def within(value: Fraction, one: SchemaField) -> Fraction | None:
    """Return a number that a decimal field can have, else null."""
    scaled = value * 10**one.scale
    return value if scaled.denominator == 1 and abs(scaled) < 10**one.precision else None


def fitted(value: Any, one: SchemaField) -> Any:
    """Return an expression's value as a field takes it: rounded half to even, null where it is too large or empty."""
    if value is None or value == "":
        return None
    if one.type == "integer":
        return value if -INT64 <= value < INT64 else None
    return within(half_even(value, one.scale), one) if one.type == "decimal" else value


def value_text(value: Any, one: SchemaField) -> str | None:
    """Return the text of a field's value: of decimals with all places of the scale."""
    if value is None:
        return None
    if one.type == "decimal" and one.scale:
        whole, _, places = plain(value).partition(".")
        return f"{whole}.{places.ljust(one.scale, '0')}"
    return to_text(value)


@dataclass
class Record:
    """A record on its way: its cells, which of them were corrected, and what came of correctable rules."""

    ordinal: int
    cells: dict[str, Cell]
    corrected: set[str] = field(default_factory=set)
    answers: dict[str, Any] = field(default_factory=dict)


def key(record: Record, names: Sequence[str]) -> tuple[Any, ...]:
    """Return what makes records equal: values, and the texts of what is none."""
    return tuple(part for name in names for part in (record.cells[name].value, record.cells[name].bad))
