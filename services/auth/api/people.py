"""A tenant's users."""

from uuid import UUID

from fastapi import Request, Response

from libs.common.http.door import Caller, Door, IfMatch, OpenDoor, Tx, etag, permission, request_context
from libs.common.http.pages import PageParameters, page_of
from services.auth import domain
from services.auth.api.shapes import Body, Email, Name, Password, RoleNames, answer
from services.auth.authority import authority
from services.auth.commands import tenants
from services.auth.flows import lost_factors
from services.auth.mail.outbox import outbox
from services.auth.password_policy import require_good_password
from services.auth.store import accounts
from services.auth.store.tables import membership

CREATING = OpenDoor("/v1/users", tag="users")
ROUTER = Door("/v1/users", tag="users")
_READ, _WRITE = [permission("user:read")], [permission("user:write")]


class NewUser(Body):
    """A user to be; the password is ignored where the person has one already, from another tenant."""

    email: Email
    name: Name
    password: Password
    roles: RoleNames


class ChangedUser(Body):
    """What of a user can change."""

    name: Name
    roles: RoleNames


@CREATING.post("", status_code=201, name="create_user", dependencies=_WRITE)
async def create(request: Request, caller: Caller, body: NewUser) -> Response:
    """Add a user to the tenant."""
    email = domain.normalise_email(body.email)
    password = require_good_password(body.password, email=email)
    person = tenants.Person(email, body.name, await authority(request).passwords.hash(password))
    async with request.app.state.database.transaction(request_context(request, caller)) as tx:
        id_ = await tenants.invite(tx, caller, person, body.roles)
        return await _shown(tx, id_, 201)


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


async def _shown(tx: Tx, id: UUID, status: int = 200) -> Response:  # noqa: A002
    row = await accounts.find_member(tx, id)
    headers = etag(row["revision"])
    if status == 201:  # noqa: PLR2004 - created
        headers["Location"] = f"/v1/users/{id}"
    return answer(row, status, headers)
