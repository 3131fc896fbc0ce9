"""Devices that wait for a person elsewhere (RFC 8628)."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, DateTime, Integer, LargeBinary, Table, Text, Uuid, delete, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from libs.common.database.transaction import Row, Transaction
from services.auth.store.tables import METADATA, client

_MOMENT = DateTime(timezone=True)
_KEEP = timedelta(days=1)

device_authorization = Table(
    "device_authorization",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("sha256", LargeBinary, primary_key=True),
    Column("user_code", LargeBinary),
    Column("client_id", Uuid),
    Column("scope", ARRAY(Text)),
    Column("resource", ARRAY(Text)),
    Column("status", Text),
    Column("user_id", Uuid),
    Column("auth_time", _MOMENT),
    Column("amr", ARRAY(Text)),
    Column("polled_at", _MOMENT),
    Column("wait", Integer),
    Column("created_at", _MOMENT),
    Column("expires_at", _MOMENT),
    Column("upstream_id", Uuid),
)
_D = device_authorization.c


async def add(tx: Transaction, digest: bytes, user_code: bytes, expires_at: datetime, **asked: Any) -> None:
    """Keep a device's request; the tenant's old ones go, though not at once: who still polls is told that it expired."""
    now = tx.context.now
    await tx.execute(delete(device_authorization).where(_D.tenant_id == tx.tenant_id, _D.expires_at < now - _KEEP))
    values = {"tenant_id": tx.tenant_id, "sha256": digest, "user_code": user_code, "status": "pending", **asked}
    await tx.execute(insert(device_authorization).values(**values, created_at=now, expires_at=expires_at))


async def lock_by_code(tx: Transaction, digest: bytes) -> Row | None:
    """Return a device's request by the code that it polls with, locked."""
    return await tx.row(select(device_authorization).where(_D.sha256 == digest).with_for_update())


async def lock_pending(tx: Transaction, user_code: bytes) -> Row | None:
    """Return the request that waits for whoever typed this code, locked, with its client's name."""
    joined = device_authorization.join(client, (client.c.tenant_id == _D.tenant_id) & (client.c.id == _D.client_id))
    statement = select(device_authorization, client.c.name).select_from(joined)
    waiting = (_D.user_code == user_code) & (_D.status == "pending") & (_D.expires_at > tx.context.now)
    return await tx.row(statement.where(waiting).with_for_update(of=device_authorization))


async def change(tx: Transaction, digest: bytes, **values: Any) -> None:
    """Change a device's request."""
    statement = update(device_authorization).where(_D.tenant_id == tx.tenant_id, _D.sha256 == digest)
    await tx.execute(statement.values(**values))
