"""What is on its way between a browser, a client and a token: sessions, codes, pushed requests."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Column, DateTime, LargeBinary, Table, Text, Uuid, delete, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from libs.common.database.transaction import Row, Transaction
from services.auth.store.tables import METADATA, grant

_MOMENT = DateTime(timezone=True)
_KEEP = timedelta(days=1)

browser_session = Table(
    "browser_session",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("sha256", LargeBinary, primary_key=True),
    Column("grant_id", Uuid),
    Column("user_id", Uuid),
    Column("created_at", _MOMENT),
    Column("expires_at", _MOMENT),
)
authorization_code = Table(
    "authorization_code",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("sha256", LargeBinary, primary_key=True),
    Column("client_id", Uuid),
    Column("user_id", Uuid),
    Column("redirect_uri", Text),
    Column("challenge", Text),
    Column("scope", ARRAY(Text)),
    Column("nonce", Text),
    Column("jkt", Text),
    Column("resource", ARRAY(Text)),
    Column("auth_time", _MOMENT),
    Column("amr", ARRAY(Text)),
    Column("created_at", _MOMENT),
    Column("expires_at", _MOMENT),
    Column("used_at", _MOMENT),
    Column("grant_id", Uuid),
    Column("upstream_id", Uuid),
)
pushed_request = Table(
    "pushed_request",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("sha256", LargeBinary, primary_key=True),
    Column("client_id", Uuid),
    Column("parameters", JSONB),
    Column("created_at", _MOMENT),
    Column("expires_at", _MOMENT),
    Column("opened_at", _MOMENT),
    Column("used_at", _MOMENT),
)
seen_identifier = Table(
    "seen_identifier",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("sha256", LargeBinary, primary_key=True),
    Column("expires_at", _MOMENT),
)
_S, _A, _P, _I = browser_session.c, authorization_code.c, pushed_request.c, seen_identifier.c


async def add_session(tx: Transaction, digest: bytes, grant_id: UUID, user_id: UUID, expires_at: datetime) -> None:
    """Keep a browser session under the hash of its cookie."""
    now = tx.context.now
    await tx.execute(delete(browser_session).where(_S.tenant_id == tx.tenant_id, _S.expires_at < now))
    values = {"tenant_id": tx.tenant_id, "sha256": digest, "grant_id": grant_id, "user_id": user_id}
    await tx.execute(insert(browser_session).values(**values, created_at=now, expires_at=expires_at))


async def find_session(tx: Transaction, digest: bytes) -> Row | None:
    """Return a session whose login has neither ended nor been revoked."""
    joined = browser_session.join(grant, (grant.c.tenant_id == _S.tenant_id) & (grant.c.id == _S.grant_id))
    statement = select(_S.user_id, _S.grant_id, _S.created_at, _S.sha256, grant.c.amr, grant.c.upstream_id)
    statement = statement.select_from(joined)
    alive = (_S.expires_at > tx.context.now) & grant.c.revoked_at.is_(None)
    return await tx.row(statement.where(_S.sha256 == digest, alive))


async def remove_session(tx: Transaction, digest: bytes) -> None:
    """Forget a session."""
    await tx.execute(delete(browser_session).where(_S.tenant_id == tx.tenant_id, _S.sha256 == digest))


async def add_code(tx: Transaction, digest: bytes, expires_at: datetime, **values: Any) -> None:
    """Keep an authorization code; the tenant's old ones go."""
    now = tx.context.now
    old = delete(authorization_code).where(_A.tenant_id == tx.tenant_id, _A.expires_at < now - _KEEP)
    await tx.execute(old)
    row = {"tenant_id": tx.tenant_id, "sha256": digest, "created_at": now, "expires_at": expires_at}
    await tx.execute(insert(authorization_code).values(**row, **values))


async def lock_code(tx: Transaction, digest: bytes) -> Row | None:
    """Return an authorization code, locked: of parallel redemptions one goes on and the others wait."""
    return await tx.row(select(authorization_code).where(_A.sha256 == digest).with_for_update())


async def use_code(tx: Transaction, digest: bytes, grant_id: UUID) -> None:
    """Mark a code used, and what it gave."""
    statement = update(authorization_code).where(_A.tenant_id == tx.tenant_id, _A.sha256 == digest)
    await tx.execute(statement.values(used_at=tx.context.now, grant_id=grant_id))


async def add_pushed(
    tx: Transaction, digest: bytes, client_id: UUID, parameters: Mapping[str, str], expires_at: datetime
) -> None:
    """Keep a pushed authorization request; the tenant's old ones go."""
    now = tx.context.now
    await tx.execute(delete(pushed_request).where(_P.tenant_id == tx.tenant_id, _P.expires_at < now - _KEEP))
    values = {"tenant_id": tx.tenant_id, "sha256": digest, "client_id": client_id, "parameters": dict(parameters)}
    await tx.execute(insert(pushed_request).values(**values, created_at=now, expires_at=expires_at))


async def open_pushed(tx: Transaction, digest: bytes, client_id: UUID, until: datetime) -> Row | None:
    """Return a client's pushed request that is neither used nor expired.

    Opening it the first time gives the person at the browser until `until`.
    """
    found = await tx.row(select(pushed_request).where(_P.sha256 == digest, _P.client_id == client_id).with_for_update())
    if found is None or found["used_at"] is not None or found["expires_at"] <= tx.context.now:
        return None
    if found["opened_at"] is None:
        statement = update(pushed_request).where(_P.tenant_id == tx.tenant_id, _P.sha256 == digest)
        await tx.execute(statement.values(opened_at=tx.context.now, expires_at=until))
    return found


async def use_pushed(tx: Transaction, digest: bytes) -> bool:
    """Use a pushed request up; false where it is used already."""
    statement = update(pushed_request).where(_P.tenant_id == tx.tenant_id, _P.sha256 == digest, _P.used_at.is_(None))
    return bool(await tx.execute(statement.values(used_at=tx.context.now)))


async def first_time(tx: Transaction, digest: bytes, until: datetime) -> bool:
    """Note an identifier until it has no meaning any more; false where it was seen before."""
    await tx.execute(delete(seen_identifier).where(_I.tenant_id == tx.tenant_id, _I.expires_at < tx.context.now))
    values = {"tenant_id": tx.tenant_id, "sha256": digest, "expires_at": until}
    return bool(await tx.execute(upsert(seen_identifier).values(values).on_conflict_do_nothing()))


async def consented(
    tx: Transaction, user_id: UUID, client_id: UUID, scope: Sequence[str], resource: Sequence[str] | None
) -> bool:
    """Say whether a living grant of the user's lets the client have all of a scope already, for all of the resources."""
    columns = grant.c
    mine = (columns.subject == f"user:{user_id}") & (columns.client_id == client_id)
    alive = columns.revoked_at.is_(None) & (columns.expires_at > tx.context.now)
    everywhere = columns.resource.is_(None)
    reaches = everywhere if resource is None else everywhere | columns.resource.contains(list(resource))
    enough = columns.scope.contains(list(scope)) & reaches
    found = await tx.value(select(columns.id).where(mine, alive, enough).limit(1))
    return found is not None
