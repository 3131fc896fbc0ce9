"""Links that come by mail, by the hash of their token; and what they change of a person."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, delete, insert, select, update

from libs.common.database.transaction import Row, Transaction
from services.auth.store.tables import account_link, identity

_L = account_link.c
_END_CODES = "DELETE FROM authorization_code WHERE user_id = $1 AND used_at IS NULL"
_END_DEVICES = "UPDATE device_authorization SET status = 'denied' WHERE user_id = $1 AND status = 'approved'"
_END_PENDING = "DELETE FROM pending_login WHERE identity_id = $1"


async def add(
    tx: Transaction,
    digest: bytes,
    purpose: str,
    mark: bytes,
    identity_id: UUID | None,
    sealed: bytes,
    expires_at: datetime,
) -> None:
    """Keep the hash of a link; earlier ones for the same purpose and address end here."""
    earlier = update(account_link).where(
        _L.tenant_id == tx.tenant_id, _L.purpose == purpose, _L.mark == mark, _L.used_at.is_(None)
    )
    await tx.execute(earlier.values(used_at=tx.context.now))
    values = {"tenant_id": tx.tenant_id, "sha256": digest, "purpose": purpose, "mark": mark, "sealed": sealed}
    times = {"created_at": tx.context.now, "expires_at": expires_at}
    await tx.execute(insert(account_link).values(**values, **times, identity_id=identity_id))


async def find(tx: Transaction, digest: bytes, purpose: str) -> Row | None:
    """Return a link that can be used, or None."""
    return await tx.row(select(_L.identity_id, _L.sealed).where(_usable(tx, digest, purpose)))


async def use(tx: Transaction, digest: bytes, purpose: str) -> Row | None:
    """Use a link up; None where it is unknown, used or expired: of several at once one gets it."""
    statement = update(account_link).where(_L.tenant_id == tx.tenant_id, _usable(tx, digest, purpose))
    return await tx.row(statement.values(used_at=tx.context.now).returning(_L.identity_id, _L.sealed))


async def end_all(tx: Transaction, identity_id: UUID) -> None:
    """End every link of a person, whatever for."""
    statement = update(account_link).where(_L.tenant_id == tx.tenant_id, _L.identity_id == identity_id)
    await tx.execute(statement.where(_L.used_at.is_(None)).values(used_at=tx.context.now))


async def end_pending_logins(tx: Transaction, identity_id: UUID) -> None:
    """End logins between their two steps: the password that opened them is gone."""
    await tx.connection.execute(_END_PENDING, identity_id)


async def end_unredeemed(tx: Transaction, user_id: UUID) -> None:
    """End what a member of the transaction's tenant allowed and no client has fetched yet."""
    await tx.connection.execute(_END_CODES, user_id)
    await tx.connection.execute(_END_DEVICES, user_id)


async def tidy(tx: Transaction, before: datetime) -> None:
    """Forget links that expired before an instant."""
    await tx.execute(delete(account_link).where(_L.tenant_id == tx.tenant_id, _L.expires_at < before))


async def find_person(tx: Transaction, id: UUID) -> Row | None:  # noqa: A002
    """Return a person by id, locked until the end: what changes an account happens one after the other."""
    return await tx.row(select(identity).where(identity.c.id == id).with_for_update())


async def set_email(tx: Transaction, id: UUID, email: str) -> None:  # noqa: A002
    """Give a person another address, whose mail they have read; the database refuses one that somebody has."""
    values = {"email": email, "email_proven_at": tx.context.now}
    await tx.execute(update(identity).where(identity.c.id == id).values(values))


def _usable(tx: Transaction, digest: bytes, purpose: str) -> ColumnElement[bool]:
    return (_L.sha256 == digest) & (_L.purpose == purpose) & _L.used_at.is_(None) & (_L.expires_at > tx.context.now)
