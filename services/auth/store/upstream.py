"""Who people at identity providers are here, browsers on their way there and back, and what logins by them left."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, DateTime, LargeBinary, Table, Text, Uuid, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from libs.common.database.transaction import Row, Transaction
from services.auth.store.grants import GRANTS
from services.auth.store.providers import identity_provider
from services.auth.store.tables import METADATA, grant

_MOMENT = DateTime(timezone=True)

upstream_identity = Table(
    "upstream_identity",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("provider_id", Uuid),
    Column("subject", Text),
    Column("user_id", Uuid),
    Column("created_at", _MOMENT),
    Column("last_used_at", _MOMENT),
    Column("verified_email", Text),
    Column("given_roles", ARRAY(Text)),
)
upstream_trip = Table(
    "upstream_trip",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("sha256", LargeBinary, primary_key=True),
    Column("provider_id", Uuid),
    Column("browser", LargeBinary),
    Column("purpose", Text),
    Column("query", Text),
    Column("user_id", Uuid),
    Column("grant_id", Uuid),
    Column("invitation_id", Uuid),
    Column("name", Text),
    Column("created_at", _MOMENT),
    Column("expires_at", _MOMENT),
    Column("used_at", _MOMENT),
)
_U, _T, _P, _G = upstream_identity.c, upstream_trip.c, identity_provider.c, grant.c
_JOINED = upstream_identity.join(identity_provider, (_P.tenant_id == _U.tenant_id) & (_P.id == _U.provider_id))
IDENTITY = (_U.id, _U.provider_id, _U.subject, _U.user_id, _U.created_at, _U.last_used_at, _U.given_roles)
IDENTITIES = select(*IDENTITY)
OWN = select(_U.id, _U.provider_id, _P.name.label("provider"), _P.enabled, _U.created_at, _U.last_used_at).select_from(
    _JOINED
)
_END_CODES = "DELETE FROM authorization_code WHERE upstream_id = ANY ($1::uuid[]) AND used_at IS NULL"
_END_DEVICES = """
UPDATE device_authorization SET status = 'denied' WHERE upstream_id = ANY ($1::uuid[]) AND status = 'approved'
"""
_END_PENDING = "DELETE FROM pending_login WHERE upstream_id = ANY ($1::uuid[])"


async def link(tx: Transaction, id: UUID, provider_id: UUID, subject: str, user_id: UUID) -> bool:  # noqa: A002
    """Link somebody at a provider to a member; false where either is linked there already."""
    values = {"tenant_id": tx.tenant_id, "id": id, "provider_id": provider_id, "subject": subject, "user_id": user_id}
    statement = upsert(upstream_identity).values(**values, created_at=tx.context.now).on_conflict_do_nothing()
    return bool(await tx.execute(statement))


async def find(tx: Transaction, provider_id: UUID, subject: str) -> Row | None:
    """Return who somebody at a provider is here."""
    return await tx.row(IDENTITIES.where(_U.provider_id == provider_id, _U.subject == subject))


async def of_provider(tx: Transaction, provider_id: UUID) -> Sequence[Row]:
    """Return everybody who is linked to a provider."""
    return await tx.rows(IDENTITIES.where(_U.provider_id == provider_id))


async def of_person(tx: Transaction, user_id: UUID) -> Sequence[Row]:
    """Return a member's links with their providers' names."""
    return await tx.rows(OWN.where(_U.user_id == user_id).order_by(_U.created_at, _U.id))


async def unlink(tx: Transaction, id: UUID, **whose: UUID) -> Row | None:  # noqa: A002
    """Remove a link and return it, or None where there is none; `whose` may ask for a `user_id` or a `provider_id`."""
    statement = delete(upstream_identity).where(_U.tenant_id == tx.tenant_id, _U.id == id)
    statement = statement.where(*(_U[name] == value for name, value in whose.items()))
    return await tx.row(statement.returning(_U.id, _U.provider_id, _U.user_id, _U.given_roles))


async def hold(tx: Transaction, id: UUID) -> bool:  # noqa: A002
    """Keep a link and its provider as they are until the end; false where either does not let anybody in any more."""
    held = select(_U.id).select_from(_JOINED).where(_U.id == id, _P.enabled)
    return await tx.value(held.with_for_update(read=True)) is not None


async def touch(tx: Transaction, id: UUID, verified_email: str | None) -> None:  # noqa: A002
    """Note that somebody came by a link now, and which address their provider has verified by its own account."""
    statement = update(upstream_identity).where(_U.tenant_id == tx.tenant_id, _U.id == id)
    await tx.execute(statement.values(last_used_at=tx.context.now, verified_email=verified_email))


async def given_roles(tx: Transaction, id: UUID) -> list[str]:  # noqa: A002
    """Return the roles that a provider's claim has given somebody by a link."""
    return list(await tx.value(select(_U.given_roles).where(_U.id == id)))


async def set_given_roles(tx: Transaction, id: UUID, names: Sequence[str]) -> None:  # noqa: A002
    """Keep which roles a claim has given."""
    statement = update(upstream_identity).where(_U.tenant_id == tx.tenant_id, _U.id == id)
    await tx.execute(statement.values(given_roles=list(names)))


async def end_unredeemed(tx: Transaction, ids: Sequence[UUID]) -> None:
    """End what logins by links have allowed and nobody has fetched, and logins between their steps."""
    await tx.connection.execute(_END_CODES, ids)
    await tx.connection.execute(_END_DEVICES, ids)
    await tx.connection.execute(_END_PENDING, ids)


async def live_grants(tx: Transaction, ids: Sequence[UUID]) -> Sequence[Row]:
    """Return the grants that came of logins by links and are not revoked, locked."""
    statement = GRANTS.where(
        _G.upstream_id == func.any(bindparam(None, list(ids), type_=ARRAY(Uuid))), _G.revoked_at.is_(None)
    )
    return await tx.rows(statement.order_by(_G.id).with_for_update())


async def set_out(tx: Transaction, digest: bytes, expires_at: datetime, **values: Any) -> None:
    """Keep a browser's trip under the hash of its state; the tenant's expired ones go."""
    now = tx.context.now
    await tx.execute(delete(upstream_trip).where(_T.tenant_id == tx.tenant_id, _T.expires_at < now))
    row = {"tenant_id": tx.tenant_id, "sha256": digest, "created_at": now, "expires_at": expires_at}
    await tx.execute(insert(upstream_trip).values(**row, **values))


async def come_back(tx: Transaction, digest: bytes, provider_id: UUID, browser: bytes) -> Row | None:
    """End a trip and return it; None where this browser has none with this provider and state: another's stays."""
    mine = (_T.sha256 == digest) & (_T.provider_id == provider_id) & (_T.browser == browser)
    open_ = _T.used_at.is_(None) & (_T.expires_at > tx.context.now)
    statement = update(upstream_trip).where(_T.tenant_id == tx.tenant_id, mine, open_)
    columns = (_T.purpose, _T.query, _T.user_id, _T.grant_id, _T.invitation_id, _T.name)
    return await tx.row(statement.values(used_at=tx.context.now).returning(*columns))
