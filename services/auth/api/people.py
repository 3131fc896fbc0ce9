"""A tenant's users."""

from uuid import UUID

from fastapi import Request, Response
from pydantic import Field

from libs.common.errors import FieldProblem, Invalid
from libs.common.http.door import Caller, Door, IfMatch, Tx, etag, permission
from libs.common.http.pages import PageParameters, page_of
from services.auth.api.shapes import Body, Email, Name, Password, RoleNames, answer
from services.auth.commands import tenants
from services.auth.flows import invitations, lost_factors
from services.auth.mail.addresses import normalise_mailable
from services.auth.mail.outbox import outbox
from services.auth.store import accounts
from services.auth.store import invitations as stored
from services.auth.store.tables import membership

_NOT_YOURS = (
    "Nobody chooses somebody else's password: whoever knows it would act in their name. Leave it out; they get a mail, and "
    "choose it themselves."
)
ROUTER = Door("/v1/users", tag="users")
_READ, _WRITE = [permission("user:read")], [permission("user:write")]


class NewUser(Body):
    """A user to be: they are invited, prove the address and choose their password."""

    email: Email
    name: Name
    roles: RoleNames
    password: Password | None = Field(
        default=None,
        description="refused: nobody chooses somebody else's password",
        json_schema_extra={"deprecated": True},
    )


class ChangedUser(Body):
    """What of a user can change."""

    name: Name
    roles: RoleNames


@ROUTER.post("", status_code=202, name="create_user", dependencies=_WRITE)
async def create(request: Request, tx: Tx, caller: Caller, body: NewUser) -> Response:
    """Invite somebody to become a user, as `POST /v1/invitations` does; the answer is the invitation."""
    if body.password is not None:
        raise Invalid(_NOT_YOURS, type="password-by-others", fields=[FieldProblem("/password", "leave it out")])
    id_ = await invitations.invite(tx, outbox(request), caller, normalise_mailable(body.email), body.roles, body.name)
    return answer(await stored.find(tx, id_), 202, {"Location": f"/v1/invitations/{id_}"})


@ROUTER.get("", name="list_users", dependencies=_READ)
async def listing(tx: Tx, page: PageParameters) -> Response:
    """List the tenant's users, newest first."""
    return await page_of(tx, accounts.MEMBERS, page, [membership.c.created_at, membership.c.id])


@ROUTER.get("/{id}", name="get_user", dependencies=_READ)
async def one(tx: Tx, id: UUID) -> Response:  # noqa: A002
    """Return a user."""
    return await _shown(tx, id)


@ROUTER.put("/{id}", name="change_user", dependencies=_WRITE)
async def change(tx: Tx, caller: Caller, id: UUID, body: ChangedUser, revision: IfMatch) -> Response:  # noqa: A002
    """Give a user another name or other roles."""
    await tenants.change_user(tx, caller, id, revision, body.name, body.roles)
    return await _shown(tx, id)


@ROUTER.post("/{id}/disable", name="disable_user", dependencies=_WRITE)
async def disable(tx: Tx, caller: Caller, id: UUID) -> Response:  # noqa: A002
    """Shut a user out and void their tokens."""
    await tenants.set_user_status(tx, caller, id, "disabled")
    return await _shown(tx, id)


@ROUTER.post("/{id}/enable", name="enable_user", dependencies=_WRITE)
async def enable(tx: Tx, caller: Caller, id: UUID) -> Response:  # noqa: A002
    """Let a disabled user in again."""
    await tenants.set_user_status(tx, caller, id, "active")
    return await _shown(tx, id)


@ROUTER.delete("/{id}", status_code=204, name="remove_user", dependencies=_WRITE)
async def remove(tx: Tx, caller: Caller, id: UUID) -> Response:  # noqa: A002
    """Take a user out of the tenant; their account and their other tenants stay."""
    await tenants.remove_user(tx, caller, id)
    return Response(status_code=204)


@ROUTER.post("/{id}/reset-factors", status_code=204, name="reset_factors", dependencies=_WRITE)
async def reset_factors(request: Request, tx: Tx, caller: Caller, id: UUID) -> Response:  # noqa: A002
    """Remove the second factors that a user has lost.

    Their recovery codes and their password go as well, and all their logins end: a mail leads them to another password.
    Refused for whoever belongs to other tenants too.
    """
    await lost_factors.by_administrator(tx, outbox(request), caller, id)
    return Response(status_code=204)


async def _shown(tx: Tx, id: UUID) -> Response:  # noqa: A002
    row = await accounts.find_member(tx, id)
    return answer(row, headers=etag(row["revision"]))
