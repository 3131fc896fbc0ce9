import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from libs.common.errors import FieldProblem
from libs.common.http.json import json_bytes
from libs.common.http.shapes import Schema
from libs.common.http.wording import NO_TYPE, TOO_LARGE, Wording, wording

MOST_PROBLEMS = 50
"""So many are told at once: a body can have a hundred thousand."""
_MOST = 4 * MOST_PROBLEMS
_NO_TYPE = (NO_TYPE, "is neither ")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_Way = tuple[bool, tuple[int | str, ...]]


def problems_in(
    errors: Iterable[Mapping[str, Any]], body: Any, schema: Schema | None = None, below: str = ""
) -> list[FieldProblem]:
    """Return what a model's validation says of `body`, by JSON pointers; `below` is put before these.

    `schema` is the model's own, for the names that it knows. Where none of several types fits, that is one problem.
    """
    told: dict[str, list[Wording]] = {}
    for error in islice(errors, _MOST):
        said = wording(error, schema)
        places = [*_places(tuple(error["loc"]), body, missing=error["type"] == "missing"), *said.below]
        pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in places)
        told.setdefault(below + pointer, []).append(said)
    problems = (problem for field, said in told.items() for problem in _together(field, said))
    return list(islice(problems, MOST_PROBLEMS))


def _together(field: str, said: Sequence[Wording]) -> Iterator[FieldProblem]:
    if TOO_LARGE in said:
        said = [TOO_LARGE]
    wanted = list(dict.fromkeys(one.expected for one in said if one.message.startswith(_NO_TYPE)))
    if len(wanted) > 1:
        yield FieldProblem.told(field, "has none of the types that it may have", expected=" or ".join(wanted))
    for one in dict.fromkeys(said):
        if len(wanted) <= 1 or not one.message.startswith(_NO_TYPE):
            yield FieldProblem.told(field, one.message, expected=one.expected, nearest=one.nearest)


def problems_of(error: ValidationError | RequestValidationError) -> list[Any]:
    """Return what is wrong, without what only follows from it: of a list with wrong items it is said that it has none."""
    return [
        item
        for item in error.errors()
        if not (item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"])
    ]


def unstorable(value: Any, below: str = "") -> FieldProblem | None:
    """Return the problem of the first text in a JSON value that holds a NUL, which no database of ours keeps."""
    if not _NUL.search(json_bytes(value)):
        return None
    return next((FieldProblem(below + place, "holds the character U+0000") for place in _nuls(value)), None)


def _nuls(value: Any) -> Iterator[str]:
    if isinstance(value, str) and "\0" in value:
        yield ""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, inside in pairs:
        if isinstance(name, str) and "\0" in name:
            yield ""
        else:
            yield from (f"/{name}{place}" for place in _nuls(inside))


def _places(location: tuple[int | str, ...], body: Any, *, missing: bool) -> list[int | str]:
    """Return the location without the parts that only name a variant of a model, which the body does not have."""
    return list(location) if not isinstance(body, dict | list) else list(_found(location, body, missing)[1])


def _found(location: tuple[int | str, ...], body: Any, missing: bool) -> _Way:  # noqa: FBT001
    """Return the way into the body, and whether it reaches the last part: a variant can be called like a field."""
    if not location:
        return True, ()
    part, rest = location[0], location[1:]
    if missing and not rest and isinstance(body, dict) and part not in body:
        return True, (part,)
    ways: list[_Way] = [_found(rest, body, missing)] if rest else [(False, ())]
    if _has(body, part):
        reached, way = _found(rest, body[part], missing)
        ways.append((reached, (part, *way)))
    return max(ways, key=lambda way: (way[0], len(way[1])))


def _has(body: Any, part: int | str) -> bool:
    if isinstance(body, dict):
        return part in body
    return isinstance(body, list) and isinstance(part, int) and part < len(body)
