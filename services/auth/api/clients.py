"""OAuth2 clients. A secret is shown once: not even a kept answer holds it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from fastapi import Request, Response
from pydantic import Field

from libs.common.http.door import Caller, Door, IfMatch, OpenDoor, Tx, etag, permission, request_context
from libs.common.http.idempotency import IdempotentRequest
from libs.common.http.pages import PageParameters, page_of
from services.auth.api.shapes import NO_STORE, Body, Name, RoleNames, answer
from services.auth.commands import clients
from services.auth.store import grants
from services.auth.store.tables import client

SECRETS = OpenDoor("/v1/clients", tag="clients")
ROUTER = Door("/v1/clients", tag="clients")
_READ, _WRITE = [permission("client:read")], [permission("client:write")]
_WEEK = 7 * 24 * 3600


class Client(Body):
    """A client's name and roles."""

    name: Name
    roles: RoleNames


class Rotation(Body):
    """How long the earlier secret goes on working; 0 voids the client's tokens as well."""

    overlap_seconds: int = Field(default=24 * 3600, ge=0, le=_WEEK)


@SECRETS.post("", status_code=201, name="create_client", dependencies=_WRITE)
async def create(request: Request, caller: Caller, body: Client) -> Response:
    """Add a client; its secret is in this answer and nowhere else."""
    async with request.app.state.database.transaction(request_context(request, caller)) as tx:
        once = IdempotentRequest.of(tx, request)
        if once and (kept := await once.replay()):
            return kept
        id_, secret = await clients.create(tx, caller.permissions, body.name, body.roles)
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


async def _once(tx: Tx, once: IdempotentRequest | None, id: UUID, secret: str, status: int) -> Response:  # noqa: A002
    row = _public(await grants.find_client(tx, id))
    headers = {**etag(row["revision"]), "Location": f"/v1/clients/{id}", **NO_STORE}
    if once:
        await once.keep(answer({**row, "client_id": id, "client_secret": None}, status, headers))
    return answer({**row, "client_id": id, "client_secret": secret}, status, headers)


@ROUTER.get("", name="list_clients", dependencies=_READ)
async def listing(tx: Tx, page: PageParameters) -> Response:
    """List the tenant's clients, newest first."""
    return await page_of(tx, grants.CLIENTS, page, [client.c.created_at, client.c.id])


@ROUTER.get("/{id}", name="get_client", dependencies=_READ)
async def one(tx: Tx, id: UUID) -> Response:  # noqa: A002
    """Return a client, without its secret."""
    return await _shown(tx, id)


@ROUTER.put("/{id}", name="change_client", dependencies=_WRITE)
async def change(tx: Tx, caller: Caller, id: UUID, body: Client, revision: IfMatch) -> Response:  # noqa: A002
    """Give a client another name or other roles."""
    await clients.change(tx, caller, id, revision, body.name, body.roles)
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
    return {name: row[name] for name in ("id", "name", "roles", "revision", "created_at")}
