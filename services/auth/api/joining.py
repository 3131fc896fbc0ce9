"""Invitations that are accepted by a login at the tenant's identity provider instead of a password."""

from typing import Annotated
from uuid import UUID

from fastapi import Request, Response
from pydantic import Field

from libs.common.http.door import OpenDoor
from services.auth.api.shapes import NO_STORE, Body, Name, answer, office
from services.auth.api.ways import bind, cookie_of, offered, trips
from services.auth.flows import invitations

ROUTER = OpenDoor("/v1/invitations", tag="invitations")
Token = Annotated[str, Field(min_length=1, max_length=300, description="what stands behind the # of the link")]


class Shown(Body):
    """The invitation's token."""

    token: Token


class Joining(Shown):
    """By which provider, and under which name."""

    provider: UUID
    name: Name


@ROUTER.post("/providers", name="list_invitation_providers")
async def listing(request: Request, body: Shown) -> Response:
    """List the identity providers by which an invitation can be accepted."""
    token, _ = await invitations.presented(office(request), body.token)
    items = [{"id": one["id"], "name": one["name"]} for one in await offered(request, token.tenant_id)]
    return answer({"items": items, "next": None}, headers=NO_STORE)


@ROUTER.post("/accept/upstream", name="accept_invitation_upstream")
async def begin(request: Request, body: Joining) -> Response:
    """Begin to join: send this same browser to `location`; the provider has to have verified the invited address."""
    token, row = await invitations.presented(office(request), body.token)
    way = await trips(request).begin(
        token.tenant_id, body.provider, cookie_of(request), purpose="join", invitation_id=row["id"], name=body.name
    )
    return bind(answer({"location": way.location}, headers=NO_STORE), way)
