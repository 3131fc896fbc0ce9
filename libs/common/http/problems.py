"""Errors as RFC 9457 problem documents: a stable type, the field's path, the request's id."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import PydanticSchemaGenerationError, TypeAdapter
from starlette.exceptions import HTTPException

from libs.common.errors import FieldProblem, Invalid, Refusal, Unavailable
from libs.common.http.challenges import challenge
from libs.common.http.json import json_bytes
from libs.common.http.places import problems_in, problems_of
from libs.common.http.shapes import Schema
from libs.common.http.wording import wording

_LOG = structlog.get_logger(__name__)
_TITLES = {404: ("not-found", "Not found"), 405: ("method-not-allowed", "The method is not allowed here")}


def install(app: FastAPI) -> None:
    """Make every error of the application a problem document."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(asyncpg.PostgresConnectionError, _database_away)
    app.add_exception_handler(asyncpg.OperatorInterventionError, _database_away)
    app.add_exception_handler(asyncpg.TransactionRollbackError, _contended)
    app.add_exception_handler(asyncpg.LockNotAvailableError, _contended)
    app.add_exception_handler(Exception, _failed)


def problem(
    request: Request,
    status: int,
    kind: str,
    title: str,
    detail: str = "",
    extra: dict[str, Any] | None = None,
    retry_after: int | None = None,
) -> Response:
    """Return a problem document as a response."""
    content: dict[str, Any] = {
        "type": f"urn:regent:problem:{kind}",
        "title": title,
        "status": status,
        "request_id": getattr(request.state, "request_id", None),
    }
    if detail:
        content["detail"] = detail
    headers = {"Cache-Control": "no-store", **({"Retry-After": str(retry_after)} if retry_after is not None else {})}
    if (challenged := challenge(request, status, kind, detail, extra or {})) is not None:
        headers["WWW-Authenticate"] = challenged
    return Response(json_bytes({**content, **(extra or {})}), status, headers, "application/problem+json")


def refusal_response(request: Request, refusal: Refusal) -> Response:
    """Return a refusal as a problem document."""
    extra = dict(refusal.extra)
    if refusal.fields:
        extra["errors"] = [field.as_dict() for field in refusal.fields]
    return problem(request, refusal.status, refusal.kind, refusal.title, refusal.detail, extra, refusal.retry_after)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        raise error
    return refusal_response(request, error)


async def _malformed(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    fields = [*_in_parameters(error), *_in_body(error, request)]
    return refusal_response(request, Invalid("The request does not fit its description.", fields=fields[:50]))


def _in_parameters(error: RequestValidationError) -> Iterator[FieldProblem]:
    """Name each parameter that is wrong."""
    for item in problems_of(error):
        where, *path = item["loc"]
        if where != "body":
            said = wording(item)
            name = ".".join(str(part) for part in path) or str(where)
            yield FieldProblem.told(name, said.message, expected=said.expected, nearest=said.nearest)


def _in_body(error: RequestValidationError, request: Request) -> list[FieldProblem]:
    """Name each field of the body that is wrong, by its JSON pointer."""
    items = [{**item, "loc": _below_body(item["loc"])} for item in problems_of(error) if item["loc"][0] == "body"]
    return problems_in(items, error.body, _schema_of(request) if items else None)


def _below_body(place: tuple[int | str, ...]) -> tuple[int | str, ...]:
    path = place[1:]
    is_syntax = len(path) == 1 and isinstance(path[0], int)  # the position of a JSON syntax error
    return () if is_syntax else path


def _schema_of(request: Request) -> Schema | None:
    """Return the schema of the model that the route's body is validated by, where it is one."""
    field = getattr(request.scope.get("route"), "body_field", None)
    return _core_schema(field.field_info.annotation) if field is not None else None


@lru_cache(maxsize=256)
def _core_schema(model: Any) -> Schema | None:
    try:
        return TypeAdapter(model).core_schema
    except PydanticSchemaGenerationError:
        return None


async def _plain(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if isinstance(error.__cause__, Refusal):  # raised while FastAPI read the body, and wrapped by it
        return refusal_response(request, error.__cause__)
    kind, title = _TITLES.get(error.status_code, ("refused", "The request was refused"))
    if error.status_code == 400:  # noqa: PLR2004 - FastAPI's answer to a body it cannot read
        return refusal_response(
            request, Invalid("The body cannot be read.", fields=[FieldProblem("", str(error.detail))])
        )
    response = problem(request, error.status_code, kind, title)
    response.headers.update(error.headers or {})
    return response


async def _database_away(request: Request, error: Exception) -> Response:
    _LOG.warning("http.database_away", error=repr(error))
    return refusal_response(request, Unavailable("The database is away; try again.", retry_after=1))


async def _contended(request: Request, error: Exception) -> Response:
    """Answer what lost against others in the database: a deadlock or a serialization failure, tried several times."""
    _LOG.warning("http.contended", error=repr(error))
    return refusal_response(request, Unavailable("Others were changing the same; try again.", retry_after=1))


async def _failed(request: Request, error: Exception) -> Response:
    _LOG.error("http.failed", error=repr(error), exc_info=error)
    return problem(request, 500, "internal", "Something went wrong on our side", "The request id helps us find it.")
