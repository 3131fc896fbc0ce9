"""Where the characters of a text stand in the literal that it was written as."""

import re

_OPENING = re.compile(r"([a-zA-Z]*)('''|\"\"\"|'|\")")
_ESCAPED = re.compile(
    r"\\(?:[0-7]{1,3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}|['\"\\abfnrtv])|.", re.DOTALL
)


def character_in(literal: str, number: int) -> int:
    """Return the offset in an expression's text literal at which character `number` of its value is written."""
    opening = _OPENING.match(literal)
    if opening is None:
        return 0
    at = opening.end()
    if "r" in opening[1].lower():
        return at + number
    for _ in range(number):
        found = _ESCAPED.match(literal, at)
        at = found.end() if found else at
    return at
