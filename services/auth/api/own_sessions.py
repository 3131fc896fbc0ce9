"""One's own logins: seen, ended one by one, or all at once and everywhere."""

from uuid import UUID

from fastapi import Depends, Request, Response

from libs.common.errors import NotFound
from libs.common.http.door import Caller, Door, OpenDoor, Tx, caller
from libs.common.http.pages import PageParameters, page_of
from services.auth.api.accounts import person_of
from services.auth.api.shapes import office
from services.auth.commands import grants, tenants
from services.auth.flows.office import end_everywhere
from services.auth.store import grants as stored
from services.auth.store.tables import grant

ROUTER = Door("/v1/sessions", tag="sessions")
EVERYWHERE = OpenDoor("/v1/sessions", tag="sessions")
LEAVING = Door("/v1/me", tag="sessions")


@ROUTER.get("", name="list_sessions", dependencies=[Depends(caller)])
async def listing(tx: Tx, principal: Caller, page: PageParameters) -> Response:
    """List one's own live logins in this tenant, newest first; `grant_id` of `/v1/me` is the caller's own."""
    live = stored.GRANTS.where(
        grant.c.subject == principal.subject, grant.c.revoked_at.is_(None), grant.c.expires_at > tx.context.now
    )
    return await page_of(tx, live, page, [grant.c.created_at, grant.c.id])


@ROUTER.post("/{id}/end", status_code=204, name="end_session", dependencies=[Depends(caller)])
async def end(tx: Tx, principal: Caller, id: UUID) -> Response:  # noqa: A002
    """End one of one's own logins."""
    found = await stored.lock_grant(tx, id)
    if found is None or found["subject"] != principal.subject:
        raise NotFound("There is no such session.")
    await grants.revoke_one(tx, id, "logout")
    return Response(status_code=204)


@LEAVING.post("/leave", status_code=204, name="leave_tenant", dependencies=[Depends(caller)])
async def leave(tx: Tx, principal: Caller) -> Response:
    """Leave the tenant: one's logins in it end, one's account and other tenants stay; its last owner cannot."""
    await tenants.leave(tx, person_of(principal))
    return Response(status_code=204)


@EVERYWHERE.post("/end-all", status_code=204, name="end_all_sessions", dependencies=[Depends(caller)])
async def end_all(request: Request, principal: Caller) -> Response:
    """Log out everywhere: end all of one's own logins in all tenants, this one too."""
    await end_everywhere(office(request), person_of(principal))
    return Response(status_code=204)
