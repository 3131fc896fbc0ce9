"""Invitations into a tenant."""

from typing import Annotated
from uuid import UUID

from fastapi import Request, Response
from pydantic import Field

from libs.common.http.door import Caller, Door, OpenDoor, Tx, permission
from libs.common.http.pages import PageParameters, page_of
from services.auth.api.shapes import Body, Email, Name, Password, RoleNames, answer, office
from services.auth.flows import invitations as flows
from services.auth.mail.addresses import normalise_mailable
from services.auth.mail.outbox import outbox
from services.auth.store import invitations
from services.auth.store.tables import invitation

ROUTER = Door("/v1/invitations", tag="invitations")
PUBLIC = OpenDoor("/v1/invitations", tag="invitations")
_READ, _WRITE = [permission("user:read")], [permission("user:write")]


class NewInvitation(Body):
    """Who is invited, and the roles that they will have."""

    email: Email
    roles: RoleNames
    name: Name | None = None


class Accepted(Body):
    """The invitation's token; a password where there is no account yet, else it is ignored.

    An account whose address nobody has proven counts as none. The name may be left out where the invitation has one.
    """

    token: Annotated[str, Field(min_length=1, max_length=300, description="what stands behind the # of the link")]
    name: Name | None = None
    password: Password | None = None


@ROUTER.post("", status_code=201, name="create_invitation", dependencies=_WRITE)
async def create(request: Request, tx: Tx, caller: Caller, body: NewInvitation) -> Response:
    """Invite somebody by mail; an earlier invitation of the address ends."""
    id_ = await flows.invite(tx, outbox(request), caller, normalise_mailable(body.email), body.roles, body.name)
    return answer(await invitations.find(tx, id_), 201, {"Location": f"/v1/invitations/{id_}"})


@ROUTER.get("", name="list_invitations", dependencies=_READ)
async def listing(tx: Tx, page: PageParameters) -> Response:
    """List the tenant's invitations, newest first."""
    return await page_of(tx, invitations.INVITATIONS, page, [invitation.c.created_at, invitation.c.id])


@ROUTER.get("/{id}", name="get_invitation", dependencies=_READ)
async def one(tx: Tx, id: UUID) -> Response:  # noqa: A002
    """Return an invitation."""
    return answer(await invitations.find(tx, id))


@ROUTER.post("/{id}/revoke", name="revoke_invitation", dependencies=_WRITE)
async def revoke(tx: Tx, id: UUID) -> Response:  # noqa: A002
    """Take an open invitation back."""
    await flows.revoke(tx, id)
    return answer(await invitations.find(tx, id))


@PUBLIC.post("/accept", status_code=201, name="accept_invitation")
async def accept(request: Request, body: Accepted) -> Response:
    """Join the tenant with an account that the address has, or a new one. Log in afterwards."""
    tenant, user = await flows.accept(office(request), body.token, body.name, body.password)
    return answer({"tenant_id": tenant, "user_id": user}, 201)
