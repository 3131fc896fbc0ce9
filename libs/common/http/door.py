"""The HTTP door: who asks, one transaction, the answer.

A route made by `Door` authenticates, opens the tenant's transaction, runs the endpoint inside it and commits before
the answer leaves; a refusal or an error rolls back. Endpoints that stream or wait use `OpenDoor` and open their own.
"""

import asyncio
import hmac
import random
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import asyncpg
import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.common.context import Context, utc_now
from libs.common.database.pool import Database
from libs.common.database.transaction import Transaction
from libs.common.errors import (
    FieldProblem,
    Invalid,
    PreconditionFailed,
    PreconditionRequired,
    Unauthenticated,
    Unavailable,
)
from libs.common.http.arguments import Arguments, readable
from libs.common.http.idempotency import IdempotentRequest
from libs.common.identity.audience import reaches
from libs.common.identity.dpop import BadProofError, Proof, SeenProofs, read_proof
from libs.common.identity.principal import Principal
from libs.common.identity.verifier import Verifier
from libs.common.telemetry.traces import current_traceparent

_LOG = structlog.get_logger(__name__)
_MOST_TRIES, _PAUSE_SECONDS = 3, (0.01, 0.1)
_READING = ("GET", "HEAD", "OPTIONS")

Answer = Callable[[Request], Coroutine[Any, Any, Response]]


def authenticate(request: Request) -> Principal:
    """Return who asks, from the one token of the request; a token that is bound to a key comes with its proof.

    Raises:
        Unauthenticated: there is none, there are two, it is not valid, or it is used in another way than it was given.
    """
    state = request.scope.setdefault("state", {})  # what `request.state` wraps, without the wrapping
    known: Principal | None = state.get("principal")
    if known is not None:
        return known
    presented = request.headers.getlist("authorization")
    if len(presented) != 1:
        kind = "malformed-authorization" if presented else None
        raise Unauthenticated("Send one Authorization header with a bearer token.", type=kind)
    scheme, _, token = presented[0].partition(" ")
    token = token.lstrip(" ")  # RFC 6750, 2.1: one space or more
    if scheme.lower() not in ("bearer", "dpop") or not token:
        raise Unauthenticated("Send a bearer token.")
    verifier: Verifier = request.app.state.verifier
    principal = verifier.verify(token, utc_now(), writes=request.method not in _READING)
    if principal.paths is not None and not reaches(principal.paths, request.scope["path"]):
        raise Unauthenticated("The access token is for another resource.", type="invalid-token")
    if principal.jkt is not None or scheme.lower() != "bearer":
        _require_possession(request, principal, scheme.lower(), token)
    state["principal"] = principal
    return principal


def _require_possession(request: Request, principal: Principal, scheme: str, token: str) -> None:
    """Check that a token that is bound to a key comes with a proof of that key (RFC 9449, 7)."""
    proofs, now = request.headers.getlist("dpop"), utc_now()
    if principal.jkt is None or scheme != "dpop" or len(proofs) != 1:
        kind = "invalid-token" if principal.jkt is None or scheme != "dpop" else "invalid-dpop-proof"
        text = "A token bound to a key is sent as DPoP with one proof, any other as Bearer."
        raise Unauthenticated(text, type=kind)
    url = request.app.state.runtime.settings.public_url + request.url.path
    try:
        proof = read_proof(proofs[0], request.method, url, now, token=token)
    except BadProofError as error:
        raise Unauthenticated(f"The proof does not hold: {error}.", type="invalid-dpop-proof") from error
    seen: SeenProofs = request.app.state.proofs
    if proof.jkt != principal.jkt:
        raise Unauthenticated("The proof is of another key than the token's.", type="invalid-token")
    if principal.nonce or proof.nonce is not None:
        _require_nonce(request, proof)
    if not seen.first_time(proof, now):
        raise Unauthenticated("The proof was used before.", type="invalid-dpop-proof")


def _require_nonce(request: Request, proof: Proof) -> None:
    """Check that a proof carries a nonce of ours, and have the answer say the one to use next (RFC 9449, 8.2 and 9)."""
    known = request.app.state.runtime.identity.nonces
    if not known:
        raise Unavailable("Nonces are not known here yet; try again.", retry_after=1)
    request.state.dpop_nonce = known[0]
    if not any(hmac.compare_digest((proof.nonce or "").encode(), one.encode()) for one in known):
        raise Unauthenticated("The proof has to carry the nonce of this answer.", type="use-dpop-nonce")


def request_context(request: Request, principal: Principal) -> Context:
    """Return the context of a request."""
    return Context(
        tenant_id=principal.tenant_id,
        actor=principal.subject,
        now=utc_now(),
        correlation_id=request.state.request_id,
        traceparent=current_traceparent(),
        address=request.state.address,
        owner=principal.owner,
    )


class DoorRoute(APIRoute):
    """A route whose endpoint runs inside the caller's tenant transaction."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if readable(self.dependant) and not self.response_field:
            self.app = self._plain_app()

    def _plain_app(self) -> ASGIApp:
        """Return what answers without FastAPI's handler, which is worth its cost where there is a body."""
        arguments, endpoint = Arguments(self.dependant), self.endpoint

        async def answer(request: Request) -> Response:
            response: Response = await endpoint(**await arguments.read(request))
            return response

        handle = _inside(answer)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = await handle(Request(scope, receive, send))
            await response(scope, receive, send)

        return app

    def get_route_handler(self) -> Answer:
        """Wrap FastAPI's handler."""
        return _inside(super().get_route_handler())


def _inside(answer: Answer) -> Answer:
    """Return what answers inside the caller's tenant transaction."""

    async def handle(request: Request) -> Response:
        """Do it, and again where it lost against others in the database: nothing of the lost try is left."""
        principal = authenticate(request)
        for _ in range(_MOST_TRIES - 1):
            try:
                return await once_over(request, principal)
            except asyncpg.TransactionRollbackError as error:
                _LOG.warning("http.tried_again", error=repr(error))
                await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311 - a pause, no secret
        return await once_over(request, principal)

    async def once_over(request: Request, principal: Principal) -> Response:
        database: Database = request.app.state.database
        async with database.transaction(request_context(request, principal)) as tx:
            request.state.tx = tx
            once = IdempotentRequest.of(tx, request)
            if once and (kept := await once.replay()):
                return kept
            response = await answer(request)
            if once:
                await once.keep(response)
            return response

    return handle


class Door(APIRouter):
    """A router whose routes are `DoorRoute`s."""

    def __init__(self, prefix: str, *, tag: str) -> None:
        super().__init__(prefix=prefix, tags=[tag], route_class=DoorRoute)


class OpenDoor(APIRouter):
    """A router whose endpoints open their own transactions, if any."""

    def __init__(self, prefix: str, *, tag: str) -> None:
        super().__init__(prefix=prefix, tags=[tag])


async def _transaction(request: Request) -> Transaction:
    tx: Transaction = request.state.tx
    return tx


# Dependencies are coroutines: FastAPI sends plain functions to a worker thread each, which costs more than a query.
Tx = Annotated[Transaction, Depends(_transaction)]
"""The request's transaction, in endpoints of a `Door`."""


async def caller(request: Request) -> Principal:
    """Return who asks; as a dependency of its own for routes that everybody with a token may call."""
    return authenticate(request)


Caller = Annotated[Principal, Depends(caller)]
"""Who asks."""


class Permission:
    """A dependency that lets in who has the permission `resource:action`."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, request: Request) -> None:
        """Refuse who lacks it."""
        authenticate(request).require(self.name)


def permission(name: str) -> Any:
    """Return the dependency for a route's `dependencies`: `dependencies=[permission("run:start")]`."""
    return Depends(Permission(name))


def etag(revision: int) -> dict[str, str]:
    """Return the header that names a revision."""
    return {"ETag": f'"{revision}"'}


async def _if_match(request: Request) -> int:
    given = request.headers.get("if-match")
    if given is None:
        raise PreconditionRequired("Send If-Match with the ETag that you read.")
    number = given.removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit() and len(number) < 10):  # noqa: PLR2004 - no revision is longer
        raise Invalid("If-Match holds no ETag of ours.", fields=[FieldProblem("If-Match", "send the ETag as read")])
    return int(number)


IfMatch = Annotated[int, Depends(_if_match)]
"""The revision that a change was made against."""


def require_revision(expected: int, current: int) -> None:
    """Refuse a change made against another revision.

    Raises:
        PreconditionFailed: it changed in between.
    """
    if expected != current:
        raise PreconditionFailed(f"It is at revision {current} now, not {expected}; read it again.")
