"""One OpenAPI 3.1 document of all services, as the gateway serves it."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi.routing import APIRoute

from docs.services import SERVICES, dependencies, routers, routes
from libs.common.app import describe_app
from libs.common.http.door import DoorRoute, IfMatch, Permission, caller
from services.auth.permissions import CATALOGUE

Json = dict[str, Any]
_GENERATED = ("HTTPValidationError", "ValidationError")
_PROBLEM = {"$ref": "#/components/responses/Problem"}
_INTRODUCTION = """\
Lists answer `{"items": [...], "next": cursor}`: `limit` (default 50, at most 500) and `cursor` page through them.
Errors are problem documents (RFC 9457) with a stable `type`, the path of each wrong field and a `request_id`.
A POST may carry `Idempotency-Key`: its answer is kept for 24 hours. A resource's `ETag` is asked for by `If-Match`.
"""


def http_document() -> Json:
    """Return the merged document."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Json] = {}
    for service in SERVICES:
        described = describe_app(service, routers(service)).openapi()
        renamed = _adopt(schemas, described.get("components", {}).get("schemas", {}), service)
        for route in routes(service):
            item = described["paths"][route.path_format]
            for method in sorted(route.methods or ()):
                operation = _renamed(item[method.lower()], renamed)
                paths.setdefault(route.path_format, {})[method.lower()] = _completed(operation, route, service)
    return _document(paths, schemas)


def _adopt(schemas: dict[str, Any], added: Mapping[str, Any], service: str) -> dict[str, str]:
    """Take over a service's schemas; one whose name another meaning has gets the service's name in front."""
    kept = {name: schema for name, schema in added.items() if name not in _GENERATED}
    renamed = {
        name: f"{service.capitalize()}{name}" for name, schema in kept.items() if schemas.get(name, schema) != schema
    }
    for name, schema in kept.items():
        schemas[renamed.get(name, name)] = _renamed(schema, renamed)
    return renamed


def _renamed(value: Any, renamed: Mapping[str, str]) -> Any:
    """Return a copy whose references follow the new names."""
    if isinstance(value, dict):
        return {key: _renamed(item, renamed) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, renamed) for item in value]
    if isinstance(value, str) and value.startswith("#/components/schemas/"):
        name = value.rsplit("/", 1)[-1]
        return f"#/components/schemas/{renamed.get(name, name)}"
    return value


def _completed(operation: Json, route: APIRoute, service: str) -> Json:
    """Add what FastAPI cannot know: permission, security, headers, problems, the owner."""
    asked = list(dependencies(route.dependant))
    permissions = sorted({call.name for call in asked if isinstance(call, Permission)})
    known = isinstance(route, DoorRoute) or caller in asked
    parameters = [*operation.get("parameters", []), *_headers(route, asked)]
    responses = {code: answer for code, answer in operation["responses"].items() if code != "422"}
    return {
        **{key: value for key, value in operation.items() if key not in ("parameters", "responses", "operationId")},
        "operationId": route.name,
        **({"parameters": parameters} if parameters else {}),
        "responses": {**responses, "default": _PROBLEM},
        "security": [{"oauth2": permissions}, {"bearer": []}] if known else [],
        **({"x-permission": permissions[0]} if permissions else {}),
        "x-service": service,
    }


def _headers(route: APIRoute, asked: list[Any]) -> Iterator[Json]:
    if isinstance(route, DoorRoute) and "POST" in (route.methods or ()):
        yield {"$ref": "#/components/parameters/IdempotencyKey"}
    if IfMatch.__metadata__[0].dependency in asked:  # type: ignore[attr-defined] # an Annotated is a type to mypy
        yield {"$ref": "#/components/parameters/IfMatch"}


def _document(paths: Mapping[str, Json], schemas: Mapping[str, Any]) -> Json:
    operations = [operation for item in paths.values() for operation in item.values()]
    tags = {tag: operation["x-service"] for operation in operations for tag in operation["tags"]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Regent",
            "version": "1",
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "the gateway"}],
        "tags": [{"name": tag, "x-service": service} for tag, service in sorted(tags.items())],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**dict(sorted(schemas.items())), "Problem": _problem_schema()},
            "responses": {"Problem": _problem_response()},
            "parameters": _parameters(),
            "securitySchemes": _security(),
        },
    }


def _parameters() -> Json:
    return {
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "the answer to a request with this key is kept for 24 hours; another body is refused",
            "schema": {"type": "string", "minLength": 1, "maxLength": 200},
        },
        "IfMatch": {
            "name": "If-Match",
            "in": "header",
            "required": True,
            "description": "the ETag that was read; another revision answers 412, none 428",
            "schema": {"type": "string"},
        },
    }


def _problem_response() -> Json:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": "A problem document (RFC 9457).",
        "content": {"application/problem+json": {"schema": schema}},
    }


def _problem_schema() -> Json:
    error = {
        "type": "object",
        "required": ["field", "message"],
        "properties": {
            "field": {"type": "string", "description": "JSON pointer into the body, or the parameter's name"},
            "message": {"type": "string"},
        },
    }
    return {
        "type": "object",
        "required": ["type", "title", "status"],
        "properties": {
            "type": {"type": "string", "description": "`urn:regent:problem:<kind>`, stable"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "request_id": {"type": ["string", "null"]},
            "errors": {"type": "array", "items": error},
        },
    }


def _security() -> Json:
    scopes = {
        f"{resource}:{action}": f"{action} {resource.replace('_', ' ')}"
        for resource, actions in CATALOGUE.items()
        for action in actions
    }
    return {
        "oauth2": {
            "type": "oauth2",
            "description": "for programs: an OAuth2 client of the tenant; the token carries its roles' permissions",
            "flows": {"clientCredentials": {"tokenUrl": "/oauth2/token", "scopes": scopes}},
        },
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "an access token, from a login or from the token endpoint",
        },
    }
