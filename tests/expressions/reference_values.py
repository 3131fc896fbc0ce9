"""How the texts of a file become values, and how far numbers go, in plain Python for the slow interpreter."""

import re
from fractions import Fraction
from typing import Any

from libs.common.vocabulary.schemas import SchemaField
from tests.expressions.reference import Interpreter
from tests.expressions.reference_functions import to_date, to_timestamp

_LITERAL = re.compile(r"'(?:\\.|[^'\\])*'")
_CHOOSE = ("coalesce", "min_of", "max_of")
"""What brings numbers to one number of places beside arithmetic, which a large one may not survive."""


def read_text(text: str, field: SchemaField) -> Any:
    """Return the value that a text writes for a field; null where it writes none of its type."""
    if field.type in ("integer", "decimal"):
        return _number(text, field)
    if field.type == "boolean":
        return {"true": True, "false": False}.get(text)
    if field.type == "text":
        return text
    return to_date(text) if field.type == "date" else to_timestamp(text)


def _number(text: str, field: SchemaField) -> Fraction | None:
    sign, unsigned = (text[0], text[1:]) if text[:1] in "+-" else ("", text)
    whole, point, rest = unsigned.partition(".")
    if not (whole.isascii() and whole.isdigit()) or (point and not (rest.isascii() and rest.isdigit())):
        return None
    if field.type == "integer":
        fits = not point and len(whole) <= 18
    else:
        fits = len(whole.lstrip("0")) <= field.precision - field.scale and len(rest.rstrip("0")) <= field.scale
    return Fraction(f"{sign}{unsigned}") if fits else None


def needs_more_digits(text: str, interpreter: Interpreter, places: int = 10) -> bool:
    """Say whether 38 digits may not hold a number on the way: then the language gives null there.

    A product of two has twice `places` after the point, and keeps twenty; comparing needs no more digits than the numbers
    have. That numbers may use fewer places than they have is not counted on.
    """
    written = _LITERAL.sub("''", text)
    signs = {sign for sign in "*/%+-" if sign in written}
    if not signs and not any(f"{name}(" in written for name in _CHOOSE) and " if " not in written:
        return False
    whole = (
        min(8, 38 - places - (places if written.count("*") < 2 else max(places, 20)))
        if signs - {"+", "-"}
        else min(16, 37 - places)
    )
    return interpreter.largest >= Fraction(10) ** whole
