"""What surrounds every request: its id, its span, its metrics, the limit of its body."""

import asyncio
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import structlog
from opentelemetry.trace import SpanKind, Status, StatusCode
from prometheus_client import Counter, Histogram
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common.context import utc_now
from libs.common.errors import TooLarge
from libs.common.http.problems import refusal_response
from libs.common.ids import uuid7
from libs.common.telemetry.metrics import HTTP_REQUESTS, HTTP_SECONDS
from libs.common.telemetry.traces import span

_LOG = structlog.get_logger("http")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,80}")
_READING = ("GET", "HEAD", "OPTIONS")

DEFAULT_BODY_LIMIT = 1024 * 1024
_PATIENCE_SECONDS = 5.0
_MOST_DISCARDED = 64 * 1024 * 1024  # bytes: what the gateway lets through


class Surroundings:
    """ASGI middleware: request id, trace span, log line, metrics, body limit."""

    def __init__(self, app: ASGIApp, *, service: str, body_limits: dict[str, int]) -> None:
        self._app = app
        self._service = service
        self._body_limits = body_limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        request.state.request_id = request_id = _request_id(request)
        request.state.address = _address(request)
        status = 500
        started = time.perf_counter()

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode()), *_nonce(request)]
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            with span(request.method, parent=request.headers.get("traceparent"), kind=SpanKind.SERVER) as current:
                await self._limited(scope, receive, note)
                route = _route(scope)
                current.update_name(f"{request.method} {route}")
                current.set_attributes({"http.route": route, "http.response.status_code": status})
                if status >= 500:  # noqa: PLR2004 - server errors
                    current.set_status(Status(StatusCode.ERROR))
                self._record(request, route, status, time.perf_counter() - started)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = next(
            (size for prefix, size in self._body_limits.items() if scope["path"].startswith(prefix)),
            DEFAULT_BODY_LIMIT,
        )
        body = _Body(scope, receive, limit)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                await body.drain()
            await send(message)

        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not length.isdigit() or int(length) > limit:
            await refusal_response(Request(scope), _too_large(limit))(scope, receive, answer)
            return
        await self._app(scope, body.receive, send if body.whole else answer)

    def _record(self, request: Request, route: str, status: int, seconds: float) -> None:
        count, duration = _meters(self._service, request.method, route, status)
        count.inc()
        duration.observe(seconds)
        # the gateway logs every request; here only what changes or goes wrong is worth a line by default
        read = request.method in _READING and status < 400  # noqa: PLR2004 - client errors begin here
        log = _LOG.debug if read else _LOG.info
        log("http.answered", method=request.method, route=route, status=status, seconds=round(seconds, 4))


class _Body:
    """A request's body on its way in: counted, and taken whole before the answer begins.

    A gateway that is still sending a body when the answer begins may drop the answer, and so may a client.
    """

    def __init__(self, scope: Scope, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._seen = 0
        names = {name for name, _ in scope["headers"]}
        self.whole = not names & {b"content-length", b"transfer-encoding"}
        self._held_back = b"expect" in names

    async def receive(self) -> Message:
        """Receive for the application.

        Raises:
            TooLarge: more came than may.
        """
        message = await self._take()
        if self._seen > self._limit:
            raise _too_large(self._limit)
        return message

    async def drain(self) -> None:
        """Take what the application left, and forget it; who sends too much or too slowly is not waited for.

        Nor is whoever asks before sending (`Expect: 100-continue`): to receive would be to say that it is welcome.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while not self.whole and not self._held_back and self._seen < _MOST_DISCARDED:
                    await self._take()

    async def _take(self) -> Message:
        self._held_back = False
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        return message


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"At most {limit} bytes are taken here.")


@lru_cache(maxsize=2000)
def _meters(service: str, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Return the metrics of one kind of answer; looking labels up costs more than counting."""
    return HTTP_REQUESTS.labels(service, method, route, str(status)), HTTP_SECONDS.labels(service, method, route)


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid7(utc_now()))


def _nonce(request: Request) -> Sequence[tuple[bytes, bytes]]:
    """Return the header by which whoever uses nonces is told the next one, where a door has put one aside."""
    nonce: str | None = request.scope["state"].get("dpop_nonce")
    return () if nonce is None else ((b"dpop-nonce", nonce.encode()),)


def _address(request: Request) -> str | None:
    """Return the caller's address: the last hop that our gateway saw, which it alone appends."""
    forwarded = request.headers.get("x-forwarded-for", "")
    last = forwarded.rsplit(",", 1)[-1].strip()
    return last or (request.client.host if request.client else None)


def _route(scope: Scope) -> str:
    route: Any = scope.get("route")
    return getattr(route, "path", "unmatched")
