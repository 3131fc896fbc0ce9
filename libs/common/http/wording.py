"""What a model's validation says, in our words: what is wrong, what was expected, what is near."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from libs.common.http.shapes import Schema, names_at, one_of, words_at
from libs.common.misfits import MisfitError
from libs.common.nearest import nearest_name


@dataclass(frozen=True, slots=True)
class Wording:
    """What is wrong; `below` is the way from the error's place to what is at fault."""

    message: str
    expected: str = ""
    nearest: str | None = None
    below: tuple[int | str, ...] = ()


_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")
NO_TYPE = "is no valid "
TOO_LARGE = Wording("is too large for a number", "a number of at most 15 digits, or the number as a text")
_LONGEST = 12
"""More names than this are not listed."""

_NOUNS = {
    "string": "a text", "int": "a whole number", "float": "a number", "decimal": "a number", "bool": "true or false",
    "uuid": "a UUID", "date": "a date as 2025-01-31", "datetime": "a moment as 2025-01-31T10:00:00Z",
    "timezone": "a moment as 2025-01-31T10:00:00Z", "list": "a list", "tuple": "a list", "dict": "an object",
    "model": "an object", "none": "null",
}  # fmt: skip
"""By the first word of the error's type."""
_OF_TYPE = re.compile(
    r"(.+?)_(?:from_\w+|type|parsing(?:_size)?|attributes_type|required|number|aware|version|sub_type)"
)
_BOUNDS = {
    "string_too_short": ("must have at least {min_length} character{s}", "min_length"),
    "string_too_long": ("must have at most {max_length} character{s}", "max_length"),
    "too_short": ("must have at least {min_length} item{s}", "min_length"),
    "too_long": ("must have at most {max_length} item{s}", "max_length"),
    "greater_than_equal": ("must be at least {ge}", "ge"),
    "greater_than": ("must be more than {gt}", "gt"),
    "less_than_equal": ("must be at most {le}", "le"),
    "less_than": ("must be less than {lt}", "lt"),
    "string_pattern_mismatch": ("must match the pattern {pattern}", "pattern"),
}
_SYNONYMS = {
    "string": ("text",), "str": ("text",), "varchar": ("text",), "int": ("integer",), "bigint": ("integer",), "number": ("decimal",),
    "numeric": ("decimal",), "float": ("decimal",), "double": ("decimal",), "bool": ("boolean",), "datetime": ("timestamp",),
    "average": ("avg",), "mean": ("avg",), "total": ("sum",), "distinct": ("count_distinct",), "error": ("blocking",),
    "type": ("kind",), "rule": ("expression", "check"), "expr": ("expression",), "condition": ("expression", "when"),
    "formula": ("expression",), "query": ("sql",), "columns": ("fields",), "column": ("field",), "lookup": ("reference", "mapping"),
    "duplicate": ("unique",), "uniqueness": ("unique",), "id": ("schema_id",), "length": ("max_length",),
    "nullable": ("required",), "mandatory": ("required",), "examples": ("tests",), "ignore": ("pass",),
}  # fmt: skip
"""What others call it; the first that is known here is meant."""


def wording(error: Mapping[str, Any], schema: Schema | None = None) -> Wording:
    """Return what one error of a model says; `schema` is that of the model, for the names that it knows."""
    context = error.get("ctx") or {}
    if isinstance(context.get("error"), MisfitError):
        found = context["error"]
        return Wording(str(found), found.expected, found.nearest, found.below)
    return _of_names(error, context, schema) or _of_values(error, context, schema)


def _of_names(error: Mapping[str, Any], context: Mapping[str, Any], schema: Schema | None) -> Wording | None:
    """Return what is said of a name that is missing or not known, if that is it."""
    kind, place = error["type"], tuple(error["loc"])
    if kind == "missing":
        return Wording("is required and missing", words_at(schema, place) if schema else "")
    if kind == "extra_forbidden":
        return _stranger(str(place[-1]), names_at(schema, place[:-1]) if schema else [])
    if "expected_tags" in context or kind == "union_tag_not_found":
        return _unknown_kind(error, schema)
    if kind == "literal_error":
        return _no_value(error["input"], _QUOTED.findall(context["expected"]) or [context["expected"]])
    return None


def _of_values(error: Mapping[str, Any], context: Mapping[str, Any], schema: Schema | None) -> Wording:
    kind = error["type"]
    if kind in ("finite_number", "int_parsing_size"):
        return TOO_LARGE
    words = words_at(schema, tuple(error["loc"])) if schema else ""
    return _bounded(kind, context) or _of_type(kind, words) or Wording(_plain(error))


def meant(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is meant: what is called so elsewhere, or what is written much alike."""
    names = list(known)
    same = next((one for one in _SYNONYMS.get(name.lower(), ()) if one in names), None)
    return same or nearest_name(name, names)


def _stranger(name: str, known: list[str]) -> Wording:
    near = meant(name, known)
    wanted = one_of(known) if known and (near is None or len(known) <= _LONGEST) else ""
    return Wording("is not permitted: there is no such field", wanted, near)


def _unknown_kind(error: Mapping[str, Any], schema: Schema | None) -> Wording:
    context, given = error["ctx"], error["input"]
    name = context["discriminator"].strip("'")
    tags = _QUOTED.findall(context.get("expected_tags", ""))
    if isinstance(given, dict) and name in given:
        told = _no_value(given[name], tags)
        return Wording(told.message, told.expected, told.nearest, (name,))
    wanted = one_of(tags) if tags else words_at(schema, tuple(error["loc"])) if schema else ""
    return Wording("is required and missing", wanted.removeprefix(f"an object with {name}: "), None, (name,))


def _no_value(given: Any, allowed: list[str]) -> Wording:
    near = meant(given, allowed) if isinstance(given, str) else None
    return Wording("is not known here", one_of(allowed), near)


def _bounded(kind: str, context: Mapping[str, Any]) -> Wording | None:
    found = _BOUNDS.get(kind)
    if found is None:
        return None
    said, name = found
    return Wording(said.format(**context, s="" if context[name] == 1 else "s"))


def _of_type(kind: str, words: str) -> Wording | None:
    found = _OF_TYPE.fullmatch(kind)
    noun = _NOUNS.get(found[1]) if found else None
    if noun is None:
        return None
    short = noun.partition(" as ")[0].removeprefix("a ").removeprefix("an ")
    said = f"{NO_TYPE}{short}" if noun != "true or false" else "is neither true nor false"
    return Wording(said, words if words.startswith(("one of", "an object with")) else noun)


def _plain(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ")
