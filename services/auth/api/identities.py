"""A person's own links to identity providers. Making one asks for the password, or a second factor, again."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import Field

from libs.common.errors import FieldProblem, Invalid
from libs.common.http.door import Caller, Door, OpenDoor, Tx, caller
from libs.common.identity.principal import Principal
from services.auth import confirmation
from services.auth.api.factors import Code, own_way, person_of, proven
from services.auth.api.shapes import NO_STORE, Body, Password, answer
from services.auth.api.ways import bind, cookie_of, trips
from services.auth.commands import identities
from services.auth.store import upstream

BEGINNING = OpenDoor("/v1/me/identities", tag="identity-providers")
ROUTER = Door("/v1/me/identities", tag="identity-providers")
_OWN = [Depends(caller)]


class NewLink(Body):
    """Which provider to link, and what shows that it is the caller: the password, or a code of a second factor."""

    provider: UUID
    password: Password | None = None
    code: Annotated[Code | None, Field(description="of the authenticator app, or a recovery code")] = None


@ROUTER.get("", name="list_own_identities", dependencies=_OWN)
async def listing(tx: Tx, principal: Caller) -> Response:
    """List by which identity providers one can log in here."""
    items = [dict(row) for row in await upstream.of_person(tx, person_of(principal).id)]
    return answer({"items": items, "next": None}, headers=NO_STORE)


@BEGINNING.post("", name="link_identity", dependencies=_OWN)
async def begin(request: Request, principal: Caller, body: NewLink) -> Response:
    """Begin to link: send this same browser to `location`; the cookie of this answer has to come back with it."""
    await _confirm(request, principal, body)
    person = person_of(principal)
    way = await trips(request).begin(
        principal.tenant_id,
        body.provider,
        cookie_of(request),
        purpose="link",
        user_id=person.id,
        grant_id=principal.grant_id,
    )
    return bind(answer({"location": way.location}, headers=NO_STORE), way)


@ROUTER.post("/{id}/unlink", status_code=204, name="unlink_identity", dependencies=_OWN)
async def unlink(tx: Tx, principal: Caller, id: UUID) -> Response:  # noqa: A002
    """Remove one's own link; what came of logins by it ends."""
    await identities.unlink(tx, id, user_id=person_of(principal).id)
    return Response(status_code=204)


async def _confirm(request: Request, principal: Principal, body: NewLink) -> None:
    if (body.password is None) == (body.code is None):
        raise Invalid("Confirm that it is you.", fields=[FieldProblem("/password", "send it, or a code, not both")])
    way = own_way(request, principal)
    if body.password is not None:
        await proven(way, principal, body.password)
    elif body.code is not None:
        await confirmation.by_code(way, person_of(principal), body.code)
