"""What the routes share: bodies, answers, the way from a request to a context."""

from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from libs.common.context import Context, utc_now
from libs.common.http.json import json_bytes
from libs.common.ids import SYSTEM_TENANT
from libs.common.telemetry.traces import current_traceparent
from services.auth.authority import authority
from services.auth.doorway import Doorway, Tokens
from services.auth.flows.office import Office
from services.auth.mail.outbox import outbox

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class Body(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


def _plain(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be printable, without spaces around it")
    return text


def printable(text: str) -> str:
    """Refuse what cannot be shown, or kept.

    Raises:
        ValueError: there is a control character in it.
    """
    if not text.isprintable():
        raise ValueError("must be printable")
    return text


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]
Email = Annotated[str, Field(min_length=3, max_length=320)]
Password = Annotated[str, Field(min_length=1, max_length=4096, json_schema_extra={"format": "password"})]
RoleNames = Annotated[list[Annotated[str, Field(max_length=60), AfterValidator(printable)]], Field(max_length=50)]


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(json_bytes(value), status, headers, "application/json")


def doorway(request: Request) -> Doorway:
    """Return the way in for whoever asks; they are anonymous until they are known."""
    context = Context(
        SYSTEM_TENANT,
        "anonymous",
        utc_now(),
        correlation_id=request.state.request_id,
        traceparent=current_traceparent(),
        address=request.state.address,
    )
    return Doorway(request.app.state.database, authority(request), context)


def office(request: Request) -> Office:
    """Return where accounts are changed, for whoever asks."""
    way = doorway(request)
    return Office(way.database, way.authority, outbox(request), way.context)


def token_answer(tokens: Tokens, status: int = 200, **more: Any) -> Response:
    """Return tokens as RFC 6749, 5.1 says; never to be cached."""
    return answer({**tokens.content(), **more}, status, NO_STORE)
