"""Invitations of a tenant."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import insert, select, update

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import NotFound
from services.auth.store.tables import identity, invitation, membership

_V = invitation.c
INVITATION = (_V.id, _V.email, _V.name, _V.roles, _V.invited_by, _V.state, _V.created_at, _V.expires_at, _V.settled_at)
INVITATIONS = select(*INVITATION)


async def add(
    tx: Transaction,
    id: UUID,  # noqa: A002
    email: str,
    roles: Sequence[str],
    digest: bytes,
    expires_at: datetime,
    name: str | None,
) -> None:
    """Add an invitation; an open one of the same address ends here."""
    earlier = update(invitation).where(_V.tenant_id == tx.tenant_id, _V.email == email, _V.state == "open")
    await tx.execute(earlier.values(state="revoked", settled_at=tx.context.now))
    values = {"tenant_id": tx.tenant_id, "id": id, "email": email, "roles": list(roles), "sha256": digest}
    more = {"invited_by": tx.context.actor, "state": "open", "created_at": tx.context.now, "expires_at": expires_at}
    more["name"] = name
    await tx.execute(insert(invitation).values(**values, **more))


async def find(tx: Transaction, id: UUID, *, lock: bool = False) -> Row:  # noqa: A002
    """Return an invitation.

    Raises:
        NotFound: the tenant has no such invitation.
    """
    statement = INVITATIONS.where(_V.id == id)
    row = await tx.row(statement.with_for_update() if lock else statement)
    if row is None:
        raise NotFound("There is no such invitation.")
    return row


async def find_open(tx: Transaction, id: UUID, digest: bytes) -> Row | None:  # noqa: A002
    """Return the invitation that a token opens, locked; None where it opens none."""
    live = (_V.state == "open") & (_V.expires_at > tx.context.now)
    return await tx.row(INVITATIONS.where(_V.id == id, _V.sha256 == digest, live).with_for_update())


async def lock_open(tx: Transaction, id: UUID) -> Row | None:  # noqa: A002
    """Return an open invitation by id, locked; for who has shown its token before."""
    live = (_V.state == "open") & (_V.expires_at > tx.context.now)
    return await tx.row(INVITATIONS.where(_V.id == id, live).with_for_update())


async def settle(tx: Transaction, id: UUID, state: Literal["accepted", "revoked"]) -> None:  # noqa: A002
    """End a locked invitation."""
    statement = update(invitation).where(_V.tenant_id == tx.tenant_id, _V.id == id)
    await tx.execute(statement.values(state=state, settled_at=tx.context.now))


async def is_member(tx: Transaction, email: str) -> bool:
    """Say whether somebody of this address is a member of the tenant."""
    joined = membership.join(identity, identity.c.id == membership.c.id)
    return await tx.value(select(membership.c.id).select_from(joined).where(identity.c.email == email)) is not None
