"""People in browsers: a session is a login whose secret is a cookie, and what they let clients do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

from libs.common.database.transaction import Transaction
from libs.common.errors import Unauthenticated
from libs.common.events.auth import ClientAuthorized
from services.auth.commands import assurance, standing
from services.auth.commands import grants as grant_commands
from services.auth.opaque import Handle
from services.auth.store import accounts, flows, grants

SESSION_PREFIX = "bs_"
SESSION_LIFE = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that a member of the transaction's tenant is logged in with."""

    tenant_id: UUID
    user_id: UUID
    grant_id: UUID
    since: datetime
    digest: bytes
    name: str
    email: str
    amr: Sequence[str] = ()
    upstream_id: UUID | None = None


async def open_session(
    tx: Transaction, user_id: UUID, amr: Sequence[str] = (), upstream_id: UUID | None = None
) -> Handle:
    """Open a session for a member who has just proven who they are; returns the cookie's secret.

    Raises:
        Unauthenticated: they were shut out a moment ago.
        Forbidden: the link to an identity provider that they came by has ended.
    """
    if await standing.of_user(tx, user_id, keep=True) is None:
        raise Unauthenticated("The e-mail address or the password is wrong.", type="login-failed")
    subject, grant_id, expires = f"user:{user_id}", uuid4(), tx.context.now + SESSION_LIFE
    await grant_commands.open_own(tx, grant_id, subject, expires, amr, upstream_id)
    cookie = Handle.make(SESSION_PREFIX, tx.tenant_id)
    await flows.add_session(tx, cookie.digest, grant_id, user_id, expires)
    return cookie


async def find(tx: Transaction, cookie: Handle) -> Session | None:
    """Return the session of a cookie, if its member and tenant are still let in, and the login was strong enough."""
    row = await flows.find_session(tx, cookie.digest)
    if row is None or await standing.of_user(tx, row["user_id"]) is None:
        return None
    member = await accounts.find_member(tx, row["user_id"])
    if await assurance.lacking(tx, row["amr"]):
        return None
    login, how = (row["user_id"], row["grant_id"], row["created_at"], row["sha256"]), (row["amr"], row["upstream_id"])
    return Session(tx.tenant_id, *login, member["name"], member["email"], *how)


async def end(tx: Transaction, cookie: Handle) -> None:
    """End a session on the server: the cookie means nothing any more."""
    row = await flows.find_session(tx, cookie.digest)
    if row is None:
        return
    grant = await grants.lock_grant(tx, row["grant_id"])
    await flows.remove_session(tx, cookie.digest)
    if grant is not None and grant["revoked_at"] is None:
        await grant_commands.revoke(tx, grant, "logout")


async def say_authorized(
    tx: Transaction, client_id: UUID, user_id: UUID, scope: frozenset[str], decision: Literal["allowed", "denied"]
) -> None:
    """Announce what a user decided on a client's request."""
    said = ClientAuthorized(
        client_id=client_id, subject=f"user:{user_id}", scope=" ".join(sorted(scope)), decision=decision
    )
    await tx.emit("client.authorized", said, entity=client_id)
