"""OAuth2 clients. A secret is shown once: not even a kept answer holds it."""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Request, Response
from pydantic import Field

from libs.common.http.door import Caller, Door, IfMatch, OpenDoor, Tx, etag, permission, request_context
from libs.common.http.idempotency import IdempotentRequest
from libs.common.http.pages import PageParameters, page_of
from services.auth.api.shapes import NO_STORE, Body, Name, RoleNames, answer
from services.auth.commands import clients, standing
from services.auth.registration import Registration
from services.auth.store import grants
from services.auth.store.tables import client

SECRETS = OpenDoor("/v1/clients", tag="clients")
ROUTER = Door("/v1/clients", tag="clients")
_READ, _WRITE = [permission("client:read")], [permission("client:write")]
GrantType = Literal[
    "authorization_code", "client_credentials", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"
]
RedirectUri = Annotated[str, Field(min_length=1, max_length=2000)]
ScopeName = Annotated[str, Field(min_length=1, max_length=100)]
_WEEK = 7 * 24 * 3600


class Client(Body):
    """A client: its name, its roles, and how it gets tokens; what a change leaves out stays as it is."""

    name: Name
    roles: RoleNames
    kind: Literal["confidential", "public"] | None = None
    grant_types: list[GrantType] | None = Field(default=None, min_length=1, max_length=4)
    redirect_uris: list[RedirectUri] | None = Field(default=None, max_length=20)
    scopes: list[ScopeName] | None = Field(default=None, max_length=200)
    jwks: dict[str, Any] | None = Field(default=None, description="public keys: authenticates by private_key_jwt")
    jwks_uri: Annotated[str, Field(max_length=2000)] | None = Field(
        default=None, description="https URL of its public keys, instead of the keys themselves"
    )
    require_par: bool | None = Field(default=None, description="takes pushed authorization requests only")
    dpop: bool | None = Field(default=None, description="its tokens are bound to a key of its own (RFC 9449)")
    dpop_nonce: bool | None = Field(default=None, description="its proofs carry a nonce of ours (RFC 9449, 8)")
    post_logout_redirect_uris: list[RedirectUri] | None = Field(
        default=None, max_length=20, description="where a browser may be led after logging out"
    )
    id_token_signed_response_alg: Literal["ES256", "RS256"] | None = Field(
        default=None, description="how its ID tokens are signed; ES256 unless it says otherwise"
    )

    def registration(self, before: Registration | None = None) -> Registration:
        """Return the registration asked for."""
        given = self.model_dump(exclude={"name", "roles"}, exclude_none=True)
        for one, other in (("jwks", "jwks_uri"), ("jwks_uri", "jwks")):  # who gives one of both means it alone
            if one in given:
                given.setdefault(other, None)
        return replace(before or Registration(), **given)


class Rotation(Body):
    """How long the earlier secret goes on working; 0 voids the client's tokens as well."""

    overlap_seconds: int = Field(default=24 * 3600, ge=0, le=_WEEK)


@SECRETS.post("", status_code=201, name="create_client", dependencies=_WRITE)
async def create(request: Request, caller: Caller, body: Client) -> Response:
    """Add a client; its secret, if it has one, is in this answer and nowhere else."""
    async with request.app.state.database.transaction(request_context(request, caller)) as tx:
        once = IdempotentRequest.of(tx, request)
        if once and (kept := await once.replay()):
            return kept
        registration = body.registration()
        owner = await standing.owner_for(tx, caller)
        id_ = await clients.register(tx, caller.permissions, body.name, body.roles, registration, owner)
        secret = await clients.give_secret(tx, id_) if registration.has_secret else None
        return await _once(tx, once, id_, secret, 201)


@SECRETS.post("/{id}/rotate", name="rotate_client", dependencies=_WRITE)
async def rotate(request: Request, caller: Caller, id: UUID, body: Rotation) -> Response:  # noqa: A002
    """Give a client another secret; it is in this answer and nowhere else."""
    async with request.app.state.database.transaction(request_context(request, caller)) as tx:
        once = IdempotentRequest.of(tx, request)
        if once and (kept := await once.replay()):
            return kept
        secret = await clients.rotate(tx, caller, id, timedelta(seconds=body.overlap_seconds))
        return await _once(tx, once, id, secret, 200)


async def _once(tx: Tx, once: IdempotentRequest | None, id: UUID, secret: str | None, status: int) -> Response:  # noqa: A002
    row = _public(await grants.find_client(tx, id))
    headers = {**etag(row["revision"]), "Location": f"/v1/clients/{id}", **NO_STORE}
    if once:
        await once.keep(answer({**row, "client_id": id, "client_secret": None}, status, headers))
    return answer({**row, "client_id": id, "client_secret": secret}, status, headers)


@ROUTER.get("", name="list_clients", dependencies=_READ)
async def listing(tx: Tx, page: PageParameters, owner_id: UUID | None = None) -> Response:
    """List the tenant's clients, newest first; with `owner_id` those that end when this user goes, unless adopted."""
    statement = grants.CLIENTS if owner_id is None else grants.CLIENTS.where(client.c.owner_id == owner_id)
    return await page_of(tx, statement, page, [client.c.created_at, client.c.id])


@ROUTER.get("/{id}", name="get_client", dependencies=_READ)
async def one(tx: Tx, id: UUID) -> Response:  # noqa: A002
    """Return a client, without its secret."""
    return await _shown(tx, id)


@ROUTER.put("/{id}", name="change_client", dependencies=_WRITE)
async def change(tx: Tx, caller: Caller, id: UUID, body: Client, revision: IfMatch) -> Response:  # noqa: A002
    """Give a client another name, other roles or another registration."""
    following = body.registration(clients.registration_of(await grants.find_client(tx, id)))
    await clients.change(tx, caller, id, revision, body.name, body.roles, following)
    return await _shown(tx, id)


@ROUTER.post("/{id}/adopt", name="adopt_client", dependencies=_WRITE)
async def adopt(tx: Tx, caller: Caller, id: UUID) -> Response:  # noqa: A002
    """Answer for a client from now on: it may never do more than its owner, and nothing once they are gone."""
    await clients.adopt(tx, caller, id)
    return await _shown(tx, id)


@ROUTER.delete("/{id}", status_code=204, name="delete_client", dependencies=_WRITE)
async def remove(tx: Tx, caller: Caller, id: UUID) -> Response:  # noqa: A002
    """Remove a client and void its tokens."""
    await clients.remove(tx, caller, id)
    return Response(status_code=204)


async def _shown(tx: Tx, id: UUID) -> Response:  # noqa: A002
    row = _public(await grants.find_client(tx, id))
    return answer(row, headers=etag(row["revision"]))


def _public(row: Any) -> dict[str, Any]:
    return {str(column.name): row[column.name] for column in grants.CLIENT}
