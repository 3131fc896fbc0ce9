"""What a model knows at a place: its fields' names, and in words what belongs there. Read from the validator's own schema."""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
Place = tuple[int | str, ...]

_WORDS = {
    "str": "a text", "int": "a whole number", "float": "a number", "decimal": "a number", "bool": "true or false",
    "uuid": "a UUID", "date": "a date as 2025-01-31", "datetime": "a moment as 2025-01-31T10:00:00Z",
    "list": "a list", "tuple": "a list", "dict": "an object", "none": "null",
}  # fmt: skip
_INNER = ("schema", "json_schema")
_ITEMS = ("items_schema", "values_schema")
_FEW = 12
"""As many names are read at a glance."""


def names_at(schema: Schema, place: Place) -> list[str]:
    """Return the names of the fields that the object at a place may have; none where that is not known."""
    return next((list(found["fields"]) for found in _reached(schema, place) if found["type"] == "model-fields"), [])


def words_at(schema: Schema, place: Place) -> str:
    """Return in words what belongs at a place; nothing where that is not known."""
    return next((words for found in _reached(schema, place) if (words := _words(found))), "")


def one_of(names: list[str]) -> str:
    """Return the values that are allowed, in words."""
    return names[0] if len(names) == 1 else "one of " + ", ".join(names)


def _words(found: Schema) -> str:
    kind = found["type"]
    if kind == "literal":
        return one_of([str(value) for value in found["expected"]])
    if kind == "tagged-union" and isinstance(found["discriminator"], str):
        return f"an object with {found['discriminator']}: {one_of([str(tag) for tag in found['choices']])}"
    if kind == "model-fields":
        needed = [name for name, field in found["fields"].items() if field["schema"]["type"] != "default"]
        return "an object" + (f" with {', '.join(needed)}" if 0 < len(needed) <= _FEW else "")
    return _WORDS.get(kind, "")


def _reached(schema: Schema, place: Place) -> Iterator[Schema]:
    """Yield the schemas at a place, outer ones first."""
    definitions: dict[str, Schema] = {}
    pending: list[tuple[Schema, Place]] = [(schema, place)]
    while pending:
        found, rest = pending.pop()
        definitions |= {one["ref"]: one for one in found.get("definitions", ())}
        if not rest:
            yield found
        pending += reversed([*_below(found, rest, definitions)])


def _below(found: Schema, rest: Place, definitions: Mapping[str, Schema]) -> Iterator[tuple[Schema, Place]]:
    kind = found["type"]
    if kind == "definition-ref":
        yield definitions[found["schema_ref"]], rest
    yield from ((found[name], rest) for name in _INNER if isinstance(found.get(name), dict))
    if not rest:
        return
    if kind == "model-fields" and rest[0] in found["fields"]:
        yield found["fields"][rest[0]]["schema"], rest[1:]
    elif kind == "tagged-union" and rest[0] in found["choices"]:
        yield found["choices"][rest[0]], rest[1:]
    elif kind == "union":
        choices = (one[0] if isinstance(one, tuple) else one for one in found["choices"])
        yield from ((one, rest[1:]) for one in choices)
    yield from ((one, rest[1:]) for one in _items(found))


def _items(found: Schema) -> Iterator[Schema]:
    for name in _ITEMS:
        items = found.get(name)
        yield from items if isinstance(items, list) else [items] if items else []
