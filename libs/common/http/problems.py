"""Errors as RFC 9457 problem documents: a stable type, the field's path, the request's id."""

from typing import Any

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from libs.common.errors import FieldProblem, Invalid, Refusal, Unavailable
from libs.common.http.challenges import challenge
from libs.common.http.json import json_bytes
from libs.common.http.places import problem_of, problems_of

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
    fields = [_field(item, error.body) for item in problems_of(error)]
    return refusal_response(request, Invalid("The request does not fit its description.", fields=fields[:50]))


def _field(error: Any, body: Any) -> FieldProblem:
    """Name a field of the body by its JSON pointer, a parameter by its name."""
    where, *path = error["loc"]
    if where != "body":
        return FieldProblem(".".join(str(part) for part in path) or str(where), error["msg"])
    is_syntax = len(path) == 1 and isinstance(path[0], int)  # the position of a JSON syntax error
    return problem_of(error, body, () if is_syntax else tuple(path))


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
