"""Tenants: made, suspended and resumed by the platform's operators, seen by their own people."""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID, uuid4

from fastapi import Request, Response
from pydantic import Field

from libs.common.http.door import Caller, Door, OpenDoor, Tx, permission, request_context
from services.auth import domain
from services.auth.api.shapes import Body, Email, Name, Password, answer
from services.auth.authority import authority
from services.auth.commands import tenants
from services.auth.password_policy import require_good_password
from services.auth.store import accounts

PLATFORM = OpenDoor("/v1/tenants", tag="tenants")
ROUTER = Door("/v1/tenants", tag="tenants")
_OPERATES = [permission("platform:tenants")]


class Owner(Body):
    """A tenant's first user."""

    email: Email
    name: Name
    password: Password


class NewTenant(Body):
    """A tenant and its owner."""

    name: Name
    owner: Owner


@PLATFORM.post("", status_code=201, name="create_tenant", dependencies=_OPERATES)
async def create_tenant(request: Request, caller: Caller, body: NewTenant) -> Response:
    """Make a tenant with its owner."""
    email = domain.normalise_email(body.owner.email)
    password = require_good_password(body.owner.password, email=email, field="/owner/password")
    person = tenants.Person(email, body.owner.name, await authority(request).passwords.hash(password))
    context = replace(request_context(request, caller), tenant_id=uuid4())
    async with request.app.state.database.transaction(context) as tx:
        owner = await tenants.create(tx, body.name, person)
    return answer({"id": context.tenant_id, "name": body.name, "status": "active", "owner_id": owner}, 201)


@PLATFORM.post("/{id}/suspend", name="suspend_tenant", dependencies=_OPERATES)
async def suspend(request: Request, caller: Caller, id: UUID) -> Response:  # noqa: A002
    """Void all tokens of a tenant at once and stop its work."""
    return await _set_status(request, caller, id, "suspended")


@PLATFORM.post("/{id}/resume", name="resume_tenant", dependencies=_OPERATES)
async def resume(request: Request, caller: Caller, id: UUID) -> Response:  # noqa: A002
    """Let a suspended tenant work again."""
    return await _set_status(request, caller, id, "active")


async def _set_status(request: Request, caller: Caller, id: UUID, status: Literal["active", "suspended"]) -> Response:  # noqa: A002
    context = replace(request_context(request, caller), tenant_id=id)
    async with request.app.state.database.transaction(context) as tx:
        await tenants.set_status(tx, status)
        return await _shown(tx)


@ROUTER.get("/current", name="current_tenant", dependencies=[permission("tenant:read")])
async def current(tx: Tx) -> Response:
    """Return the caller's tenant."""
    return await _shown(tx)


class Policy(Body):
    """What a tenant asks of its people's logins."""

    second_factor: Literal["optional", "required"]
    grace_hours: Annotated[
        int, Field(ge=0, le=720, description="how long logins without a second factor are still refreshed")
    ] = 0


@ROUTER.put("/current/policy", name="change_policy", dependencies=[permission("tenant:write")])
async def change_policy(tx: Tx, body: Policy) -> Response:
    """Ask every login for a second factor, or leave it to the person.

    Who has none sets one up at the next login. Logins that showed none are not refreshed any more, once the grace is
    over; their access tokens live out their minutes. The caller's own login is no exception.
    """
    await tenants.set_second_factor(tx, body.second_factor, timedelta(hours=body.grace_hours))
    return await _shown(tx)


async def _shown(tx: Tx) -> Response:
    row = await accounts.find_tenant(tx)
    return answer(
        {
            "id": row["tenant_id"],
            **{name: row[name] for name in ("name", "status", "created_at", "second_factor", "second_factor_from")},
        }
    )
