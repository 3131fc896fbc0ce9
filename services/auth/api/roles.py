"""Roles: the predefined ones, and those that a tenant makes itself."""

from typing import Annotated
from uuid import UUID

from fastapi import Response
from pydantic import Field

from libs.common.errors import NotFound
from libs.common.http.door import Caller, Door, IfMatch, Tx, etag, permission
from services.auth.api.shapes import Body, answer
from services.auth.commands import own_roles
from services.auth.permissions import CATALOGUE, PLATFORM

ROUTER = Door("/v1/roles", tag="roles")
PERMISSIONS = Door("/v1/permissions", tag="roles")
_READ, _WRITE = [permission("role:read")], [permission("role:write")]

Allowed = Annotated[list[Annotated[str, Field(max_length=60)]], Field(max_length=200)]


class NewRole(Body):
    """A role of the tenant's own."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")
    permissions: Allowed


class ChangedRole(Body):
    """What of a role can change."""

    permissions: Allowed


@PERMISSIONS.get("", name="list_permissions", dependencies=_READ)
async def catalogue() -> Response:
    """List every permission that a tenant's roles can give."""
    items = [f"{resource}:{a}" for resource, actions in CATALOGUE.items() if resource != PLATFORM for a in actions]
    return answer({"items": items, "next": None})


@ROUTER.get("", name="list_roles", dependencies=_READ)
async def listing(tx: Tx) -> Response:
    """List all roles; there are few enough for one page."""
    return answer({"items": await own_roles.listing(tx), "next": None})


@ROUTER.get("/{id}", name="get_role", dependencies=_READ)
async def one(tx: Tx, id: UUID) -> Response:  # noqa: A002
    """Return a role."""
    return await _shown(tx, id)


@ROUTER.post("", status_code=201, name="create_role", dependencies=_WRITE)
async def create(tx: Tx, caller: Caller, body: NewRole) -> Response:
    """Add a role."""
    return await _shown(tx, await own_roles.create(tx, caller, body.name, body.permissions), 201)


@ROUTER.put("/{id}", name="change_role", dependencies=_WRITE)
async def change(tx: Tx, caller: Caller, id: UUID, body: ChangedRole, revision: IfMatch) -> Response:  # noqa: A002
    """Give a role other permissions."""
    await own_roles.change(tx, caller, id, revision, body.permissions)
    return await _shown(tx, id)


@ROUTER.delete("/{id}", status_code=204, name="delete_role", dependencies=_WRITE)
async def remove(tx: Tx, caller: Caller, id: UUID) -> Response:  # noqa: A002
    """Remove a role that nobody has."""
    await own_roles.remove(tx, caller, id)
    return Response(status_code=204)


async def _shown(tx: Tx, id: UUID, status: int = 200) -> Response:  # noqa: A002
    row = next((row for row in await own_roles.listing(tx) if row["id"] == id), None)
    if row is None:
        raise NotFound("There is no such role.")
    headers = etag(row["revision"]) if "revision" in row else {}
    if status == 201:  # noqa: PLR2004 - created
        headers["Location"] = f"/v1/roles/{id}"
    return answer(row, status, headers)
