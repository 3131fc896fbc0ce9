"""What the integration tests share: a database to tamper with, events to fill it."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from libs.common.context import Context
from libs.common.crypto.keyring import KeyRing
from libs.common.database.pool import Database
from libs.common.ids import uuid7
from libs.common.objects import Objects
from services.audit.domain import Received

KEY = hashlib.sha256(b"the key of these tests").digest()
RING_TEXT = json.dumps({"active": "k1", "keys": {"k1": base64.b64encode(KEY).decode()}})
TENANT = UUID("0197f5a2-7a10-7cc1-8b0e-5b5c7a3d9e01")
OTHER = UUID("0197f5a2-7a10-7cc1-8b0e-5b5c7a3d9e02")


@dataclass(frozen=True)
class Store:
    """An audit database: a URL for each role, one for the superuser, and the object store beside it."""

    admin: str
    urls: dict[str, str]
    objects_url: str
    ring: KeyRing

    @property
    def objects(self) -> Objects:
        return Objects(self.objects_url)

    @asynccontextmanager
    async def role(self, name: str) -> AsyncIterator[Database]:
        async with Database.open(self.urls[f"audit_{name}"], service="audit", role=name, size=2) as database:
            yield database

    async def as_superuser(self, *statements: str) -> None:
        """Tamper: triggers off, row-level security passed by."""
        connection = await asyncpg.connect(self.admin, server_settings={"search_path": "audit"})
        try:
            for table in ("entry", "node", "checkpoint"):
                await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


def context(tenant: UUID = TENANT) -> Context:
    return Context(tenant, "service:audit", datetime.now(UTC))


def event_body(tenant: UUID = TENANT, name: str = "catalog.report.published", **changes: Any) -> bytes:
    """Return the bytes of an event."""
    now = datetime.now(UTC)
    envelope = {
        "specversion": "1.0",
        "id": str(uuid7(now)),
        "source": name.split(".", 1)[0],
        "type": f"{name}.v1",
        "subject": "0197f5a2-7a10-7cc1-8b0e-00000000000a",
        "time": now.isoformat(),
        "dataschema": f"urn:regent:event:{name}.v1",
        "tenantid": str(tenant),
        "actor": "user:1",
        "sequence": 1,
        "data": {},
    }
    return orjson.dumps({**envelope, **changes})


def received(number: int, tenant: UUID = TENANT, **changes: Any) -> Received:
    """Return an event as the bus gives it."""
    body = event_body(tenant, **changes)
    return Received(number, f"evt.{tenant}.catalog.report.published", body, datetime.now(UTC))
