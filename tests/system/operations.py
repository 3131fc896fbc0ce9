"""Every operation that the services declare, as their OpenAPI descriptions have it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID, uuid4

from deploy.local.configuration import SERVICES
from docs.services import routers
from libs.common.app import describe_app

_METHODS = ("get", "post", "put", "patch", "delete")
_PLACE = re.compile(r"\{(\w+)(?::path)?\}")
PLATFORM = "/v1/tenants"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path; `fields` are the body's fields, `queries` and `places` parameters with their schemas."""

    method: str
    path: str
    queries: Mapping[str, Any]
    places: Mapping[str, Any]
    fields: tuple[str, ...]
    takes_json: bool
    body: Mapping[str, Any] = field(default_factory=dict)
    schemas: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def kind(self) -> str:
        """Return the kind of thing that its first place names: what stands before it, `runs` or `indicators/thresholds`."""
        return self.path.removeprefix("/v1/").partition("{")[0].strip("/")

    @property
    def is_list(self) -> bool:
        """Tell whether it is paged."""
        return "cursor" in self.queries

    @property
    def required(self) -> dict[str, str]:
        """Return a usable value for each query parameter that must be there."""
        return {name: sample(schema) for name, (schema, must) in self.queries.items() if must}

    def filled(self, values: Mapping[str, str] | None = None) -> str:
        """Return the path with its places filled: from `values`, else with what exists nowhere."""
        path = self.path.replace(":path}", "}")
        for name, schema in self.places.items():
            path = path.replace(f"{{{name}}}", (values or {}).get(name) or sample(schema))
        return path


def sample(schema: Mapping[str, Any]) -> str:
    """Return a value of the type, as text."""
    choices = [schema, *schema.get("anyOf", [])]
    if any(one.get("format") == "uuid" for one in choices):
        return str(uuid4())
    if any(one.get("format") == "date" for one in choices):
        return "2026-03-06"
    return "999999" if any(one.get("type") == "integer" for one in choices) else "text"


def wrong(schema: Mapping[str, Any]) -> str | None:
    """Return a text that is not of the type; None where every text is."""
    choices = [schema, *schema.get("anyOf", [])]
    typed = any(
        one.get("format") in ("uuid", "date", "date-time") or one.get("type") in ("integer", "boolean", "number")
        for one in choices
    )
    return "no-such-thing" if typed else None


@cache
def operations() -> tuple[Operation, ...]:
    """Return all operations of all services."""
    return tuple(operation for service in SERVICES for operation in _of(service))


def is_uuid(schema: Mapping[str, Any]) -> bool:
    """Tell whether a place takes an id."""
    return schema.get("format") == "uuid"


def ids_in(value: Any) -> Iterator[str]:
    """Yield every id in an answer."""
    if isinstance(value, dict):
        for item in value.values():
            yield from ids_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from ids_in(item)
    elif isinstance(value, str):
        try:
            yield str(UUID(value))
        except ValueError:
            return


def _of(service: str) -> Iterator[Operation]:
    yield from described(describe_app(service, routers(service)).openapi())


def described(document: dict[str, Any]) -> Iterator[Operation]:
    """Yield the operations of an OpenAPI document."""
    schemas = document.get("components", {}).get("schemas", {})
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield _operation(method.upper(), path, item[method], schemas)


def _operation(method: str, path: str, described: dict[str, Any], schemas: dict[str, Any]) -> Operation:
    parameters = described.get("parameters", [])
    declared = {p["name"]: p["schema"] for p in parameters if p["in"] == "path"}
    content = described.get("requestBody", {}).get("content", {})
    body = content.get("application/json", {}).get("schema", {})
    return Operation(
        method,
        path,
        {p["name"]: (p["schema"], p.get("required", False)) for p in parameters if p["in"] == "query"},
        {name: declared.get(name, {"type": "string"}) for name in _PLACE.findall(path)},
        tuple(_fields(body, schemas)),
        "application/json" in content,
        body,
        schemas,
    )


def _fields(body: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    """Yield the names of a body's fields; those of a choice, of each choice."""
    if "$ref" in body:
        body = schemas[body["$ref"].rsplit("/", 1)[-1]]
    yield from body.get("properties", {})
    for choice in body.get("anyOf", []):
        yield from _fields(choice, schemas)
