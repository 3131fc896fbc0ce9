"""What has to be done over time: signing keys turn, data keys follow the key ring, what is dead is removed."""

import asyncio
from datetime import datetime, timedelta

import asyncpg
import structlog

from libs.common.context import Context, utc_now
from libs.common.crypto.keyring import KeyRing, WrappedKey
from libs.common.database.pool import Database
from libs.common.errors import Unavailable
from libs.common.ids import SYSTEM_TENANT
from libs.common.settings import SettingsError
from services.auth import domain
from services.auth.commands import keys
from services.auth.signing import Signers
from services.auth.store import attempts, factors

_LOG = structlog.get_logger(__name__)
_SECONDS = 5.0
_BATCH = 200
_FOREIGN = "SELECT tenant_id, key_id, wrapped FROM data_key WHERE key_id <> $1 LIMIT $2"
_REWRAP = "UPDATE data_key SET key_id = $3, wrapped = $4 WHERE tenant_id = $1 AND wrapped = $2"
_CANARIES = "DELETE FROM key_canary WHERE key_id <> $1 AND NOT EXISTS (SELECT FROM data_key WHERE key_id <> $1)"
_IN_USE = "SELECT DISTINCT key_id FROM data_key"
_UNPUBLISHED = "DELETE FROM revocation WHERE until < $1"
_ENDED = "DELETE FROM access_grant WHERE expires_at < $1"
_KEEP_GRANTS = timedelta(days=30)


async def require_known_keys(keeper: Database, ring: KeyRing) -> None:
    """Check that the ring holds every key under which a data key is wrapped.

    Raises:
        SettingsError: names the keys that it lacks.
    """
    async with keeper.connection() as connection:
        used = {row["key_id"] for row in await connection.fetch(_IN_USE)}
    missing = sorted(key for key in used if not ring.holds(key))
    if missing:
        raise SettingsError(f"configuration: REGENT_KEYRING lacks keys that stored secrets need: {', '.join(missing)}")


class Keeper:
    """Does it every few seconds; several of them at once are harmless."""

    def __init__(
        self,
        database: Database,
        keeper: Database,
        ring: KeyRing,
        signers: Signers,
        *,
        rotation: timedelta,
        lead: timedelta,
    ) -> None:
        self._database = database
        self._keeper = keeper
        self._ring = ring
        self._signers = signers
        self._rotation = rotation
        self._lead = lead

    async def run(self) -> None:
        """Work until cancelled; a lost database is waited for."""
        while True:
            try:
                await self.turn_keys(utc_now())
                await self.rewrap()
                await self.tidy(utc_now())
            except (Unavailable, OSError, TimeoutError, asyncpg.PostgresConnectionError) as error:
                _LOG.warning("keeper.interrupted", error=repr(error))
            except Exception:
                _LOG.exception("keeper.failed")
            await asyncio.sleep(_SECONDS)

    async def turn_keys(self, now: datetime) -> str | None:
        """Do what the signing keys' ages call for; returns the step taken."""
        async with self._database.transaction(Context(SYSTEM_TENANT, "service:auth", now)) as tx:
            step = await keys.turn(tx, self._signers, self._rotation, self._lead)
            await keys.forget_retired(tx, domain.dead_before(now))
        return step

    async def rewrap(self) -> int:
        """Wrap data keys anew that are wrapped under another key than the active one; returns how many.

        When none is left the other keys may leave the ring.
        """
        done = 0
        async with self._keeper.connection() as connection:
            while rows := await connection.fetch(_FOREIGN, self._ring.active, _BATCH):
                for row in rows:
                    old = WrappedKey(row["key_id"], row["wrapped"])
                    new = self._ring.rewrap(row["tenant_id"], old)
                    await connection.execute(_REWRAP, row["tenant_id"], old.wrapped, new.key_id, new.wrapped)
                done += len(rows)
            await connection.execute(_CANARIES, self._ring.active)
        if done:
            _LOG.info("keeper.rewrapped", keys=done, active=self._ring.active)
        return done

    async def tidy(self, now: datetime) -> None:
        """Forget revocations whose tokens are dead, grants that ended long ago, and tries that no longer count."""
        async with self._keeper.connection() as connection:
            await connection.execute(_UNPUBLISHED, now)
            await connection.execute(_ENDED, now - _KEEP_GRANTS)
        async with self._database.transaction(Context(SYSTEM_TENANT, "service:auth", now)) as tx:
            await attempts.tidy(tx, now - domain.MEMORY)
            await factors.tidy(tx)
