"""What somebody meant who wrote a value or a name that does not fit."""

import re

from libs.common.nearest import nearest_name
from libs.expressions.functions import FUNCTIONS
from libs.expressions.slips import ELSEWHERE
from libs.expressions.values import NUMERIC

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{1,10})?", re.ASCII)
_PREFIX = re.compile(r"^(is|valid|validate|check)_?(?=.)")
WORDS = {"true": True, "false": False}


def as_literal(text: str, kind: str) -> str:
    """Return how a text is written as a literal of another type, if it is one."""
    if kind == "date" and _DAY.fullmatch(text):
        return f"date('{text}')"
    if kind == "timestamp" and _INSTANT.fullmatch(text):
        return f"timestamp('{text}')"
    if kind in NUMERIC and _NUMBER.fullmatch(text):
        return f"{text} without quotes"
    return f"{text.lower()} without quotes" if kind == "boolean" and text.lower() in WORDS else ""


def short(name: str) -> str:
    """Return a name as a message shows it."""
    return repr(name if len(name) <= 80 else name[:77] + "...")  # noqa: PLR2004 - a name that fits a message


def function_meant(name: str) -> str | None:
    """Return the function of ours that has this name's meaning: called so elsewhere, with a prefix, or misspelt."""
    lower = name.lower()
    bare = _PREFIX.sub("", lower)
    return ELSEWHERE.get(lower) or (bare if bare in FUNCTIONS else nearest_name(name, FUNCTIONS))
