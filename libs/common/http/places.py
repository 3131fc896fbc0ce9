import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from libs.common.errors import FieldProblem
from libs.common.http.json import json_bytes

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_Way = tuple[bool, tuple[int | str, ...]]


def problem_of(error: Mapping[str, Any], body: Any, location: tuple[int | str, ...], below: str = "") -> FieldProblem:
    """Return what a model's validation says of one field of `body`, by its JSON pointer; `below` is put before it."""
    places = _places(location, body, missing=error["type"] == "missing")
    pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in places)
    return FieldProblem(below + pointer, str(error["msg"]).removeprefix("Value error, "))


def problems_of(error: ValidationError | RequestValidationError) -> Iterator[Any]:
    """Yield what is wrong, without what only follows from it: of a list with wrong items it is said that it has none."""
    for item in error.errors():
        echo = item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"]
        if not echo:
            yield item


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
