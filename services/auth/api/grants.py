"""Grants: who is logged in, and which clients hold tokens."""

from uuid import UUID

from fastapi import Response

from libs.common.http.door import Door, Tx, permission
from libs.common.http.pages import PageParameters, page_of
from services.auth.commands import grants
from services.auth.store.grants import GRANTS
from services.auth.store.tables import grant

ROUTER = Door("/v1/grants", tag="grants")


@ROUTER.get("", name="list_grants", dependencies=[permission("grant:read")])
async def listing(tx: Tx, page: PageParameters, subject: str | None = None) -> Response:
    """List the tenant's grants, newest first; `subject` is `user:<id>` or `client:<id>`."""
    statement = GRANTS if subject is None else GRANTS.where(grant.c.subject == subject.replace("\x00", ""))
    return await page_of(tx, statement, page, [grant.c.created_at, grant.c.id])


@ROUTER.post("/{id}/revoke", status_code=204, name="revoke_grant", dependencies=[permission("grant:revoke")])
async def revoke(tx: Tx, id: UUID) -> Response:  # noqa: A002
    """Void all tokens of a grant, everywhere within a second."""
    await grants.revoke_one(tx, id, "revoked")
    return Response(status_code=204)
