"""Bodies made from what the document says of them, with ids where it says that there are ids."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

Schema = Mapping[str, Any]
_DEEPEST = 8
_SOON = (datetime.now(UTC).date() + timedelta(days=10)).isoformat()
_TEXTS = {"date": _SOON, "date-time": "2026-03-06T00:00:00Z", "email": "somebody@example.com"}


def has_ids(schema: Schema, named: Mapping[str, Schema], depth: int = 0) -> bool:
    """Say whether a body can name something by its id."""
    schema = _resolved(schema, named)
    if depth > _DEEPEST:
        return False
    if schema.get("format") == "uuid":
        return True
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", []), *schema.get("oneOf", [])]
    inner += [schema[name] for name in ("items", "additionalProperties") if isinstance(schema.get(name), dict)]
    return any(has_ids(one, named, depth + 1) for one in inner)


def sampled(
    schema: Schema, named: Mapping[str, Schema], id_for: Callable[[str], str], name: str = "", depth: int = 0
) -> Any:
    """Return a value of a schema: what must be there, and whatever can hold an id; `id_for` gives the id for a name."""
    schema = _resolved(schema, named)
    choices = [one for one in [*schema.get("anyOf", []), *schema.get("oneOf", [])] if one.get("type") != "null"]
    if choices:
        chosen = next((one for one in choices if has_ids(one, named, depth)), choices[0])
        return sampled(chosen, named, id_for, name, depth + 1)
    if "const" in schema or "enum" in schema:
        return schema.get("const", *schema.get("enum", [])[:1])
    if schema.get("type") == "object" or "properties" in schema:
        return _object(schema, named, id_for, depth)
    if schema.get("type") == "array":
        items = schema.get("items", {})
        wanted = max(schema.get("minItems", 0), int(depth < _DEEPEST and has_ids(items, named, depth)))
        return [sampled(items, named, id_for, name, depth + 1) for _ in range(wanted)]
    return _plain(schema, id_for, name)


def _object(schema: Schema, named: Mapping[str, Schema], id_for: Callable[[str], str], depth: int) -> dict[str, Any]:
    must = set(schema.get("required", []))
    return {
        name: sampled(inner, named, id_for, name, depth + 1)
        for name, inner in schema.get("properties", {}).items()
        if name in must or (depth < _DEEPEST and has_ids(inner, named, depth))
    }


def _plain(schema: Schema, id_for: Callable[[str], str], name: str) -> Any:
    kind = schema.get("type")
    if schema.get("format") == "uuid":
        return id_for(name)
    if kind in ("integer", "number"):
        return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
    if kind == "boolean":
        return False
    text: str = _TEXTS.get(schema.get("format", ""), "text")
    return text.ljust(schema.get("minLength", 0), "t")[: schema.get("maxLength", 1000)]


def _resolved(schema: Schema, named: Mapping[str, Schema]) -> Schema:
    while "$ref" in schema:
        schema = named[schema["$ref"].rsplit("/", 1)[-1]]
    return schema
