"""Tells every process which keys verify, which grants are void, which tenants are suspended, which nonces are good.

The bucket is brought to what the database says: after each change, and every second in case a change came from
elsewhere or the bucket was lost; the database alone is looked at three times as often, since nobody wakes this one for
what the command line or another process commits. The bucket is read before the database, so what is removed from it was gone from the
database later than it was written: two publishers at once can never remove a revocation that the other just wrote.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import asyncpg
import orjson
import structlog
from nats.errors import Error as NatsError

from libs.common.bus.connection import Bus
from libs.common.bus.fetching import cancelled
from libs.common.bus.topology import IDENTITY_SUBJECTS
from libs.common.context import Context, utc_now
from libs.common.database.pool import Database
from libs.common.errors import Unavailable
from libs.common.identity.state import SnapshotError, read_snapshot
from libs.common.identity.verifier import ALGORITHM
from libs.common.ids import SYSTEM_TENANT
from services.auth import nonces
from services.auth.store import keys
from services.auth.throttle import Throttle

_LOG = structlog.get_logger(__name__)
_PREFIX = IDENTITY_SUBJECTS.removesuffix(">")
_POLL_SECONDS = 1.0
_LOOKS = 3  # at the database alone, within those seconds
_LEAST_SECONDS = 0.2  # most commits are logins, which change nothing here
_DELETED = {"KV-Operation": "DEL", "Nats-TTL": "60s"}
_VOID = "SELECT grant_id, until FROM revocation WHERE until > $1"
_SUSPENDED = "SELECT tenant_id FROM tenant WHERE status = 'suspended'"


class Publisher:
    """Keeps the identity bucket at what the database says."""

    def __init__(self, database: Database, keeper: Database, bus: Bus, throttle: Throttle) -> None:
        self._database = database
        self._keeper = keeper
        self._bus = bus
        self._throttle = throttle
        self._wake = asyncio.Event()
        self._published: dict[str, Any] = {}
        self.current = False

    def wake(self) -> None:
        """Look now: something was committed."""
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled; a lost database or bus is waited for."""
        while not cancelled():
            self._wake.clear()
            try:
                await self.publish()
                self.current = True
                await asyncio.sleep(_LEAST_SECONDS)
                await self._until_changed()
            except (Unavailable, OSError, TimeoutError, asyncpg.PostgresError, NatsError, SnapshotError) as error:
                self.current = False
                _LOG.warning("publisher.interrupted", error=repr(error))
                await asyncio.sleep(0.2)

    async def _until_changed(self) -> None:
        """Return at a commit in this process, at one that another process made, or when it is time to look anyway."""
        for _ in range(_LOOKS):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _POLL_SECONDS / _LOOKS)
            if self._wake.is_set() or (await self._wanted())[0] != self._published:
                return

    async def publish(self) -> None:
        """Bring the bucket to what the database says now; doing it again changes nothing."""
        found = await read_snapshot(self._bus)
        wanted, unknown = await self._wanted()
        for name in sorted(wanted.keys() - {name for name in found if found[name] == wanted.get(name)}):
            await self._bus.jetstream.publish(_PREFIX + name, orjson.dumps(wanted[name]), timeout=5)
        for name in sorted(found.keys() - wanted.keys()):
            await self._bus.jetstream.publish(_PREFIX + name, b"", headers=dict(_DELETED), timeout=5)
        self._published = wanted
        if unknown:
            await self._note(unknown)

    async def _wanted(self) -> tuple[dict[str, Any], list[str]]:
        """Return what the bucket should hold, and the ids of keys that were not yet noted as published.

        Services verify access tokens: the keys of ID tokens are in JWKS alone.
        """
        async with self._database.transaction(Context(SYSTEM_TENANT, "service:auth")) as tx:
            rows = await keys.all_keys(tx)
        async with self._keeper.connection() as connection:
            void = await connection.fetch(_VOID, utc_now())
            suspended = await connection.fetch(_SUSPENDED)
        wanted = {
            "nonces": {"proofs": list(nonces.good(self._throttle, utc_now()))},
            **{f"key.{row['kid']}": {"jwk": row["jwk"]} for row in rows if row["algorithm"] == ALGORITHM},
            **{f"revoked.{row['grant_id']}": {"until": row["until"].isoformat()} for row in void},
            **{f"tenant.{row['tenant_id']}": {"status": "suspended"} for row in suspended},
        }
        return wanted, [row["kid"] for row in rows if row["published_at"] is None]

    async def _note(self, kids: Sequence[str]) -> None:
        async with self._database.transaction(Context(SYSTEM_TENANT, "service:auth")) as tx:
            await keys.note_published(tx, kids)
