"""What has to be done over time: signing keys turn, what is dead is removed."""

import asyncio
from datetime import datetime, timedelta

import asyncpg
import structlog

from libs.common.context import Context, utc_now
from libs.common.database.pool import Database
from libs.common.errors import Unavailable
from libs.common.ids import SYSTEM_TENANT
from services.auth import domain
from services.auth.commands import keys
from services.auth.signing import ID_TOKEN_ALGORITHMS, Signers
from services.auth.store import attempts, factors, links

_LOG = structlog.get_logger(__name__)
_SECONDS = 5.0
_UNPUBLISHED = "DELETE FROM revocation WHERE until < $1"
_ENDED = "DELETE FROM access_grant WHERE expires_at < $1"
_KEEP_LINKS = timedelta(days=1)
_KEEP_GRANTS = timedelta(days=30)


class Keeper:
    """Does it every few seconds; several of them at once are harmless."""

    def __init__(
        self,
        database: Database,
        keeper: Database,
        signers: Signers,
        *,
        rotation: timedelta,
        lead: timedelta,
    ) -> None:
        self._database = database
        self._keeper = keeper
        self._signers = signers
        self._rotation = rotation
        self._lead = lead

    async def run(self) -> None:
        """Work until cancelled; a lost database is waited for."""
        while True:
            try:
                await self.turn_keys(utc_now())
                await self.tidy(utc_now())
            except (Unavailable, OSError, TimeoutError, asyncpg.PostgresConnectionError) as error:
                _LOG.warning("keeper.interrupted", error=repr(error))
            except Exception:
                _LOG.exception("keeper.failed")
            await asyncio.sleep(_SECONDS)

    async def turn_keys(self, now: datetime) -> str | None:
        """Do what the signing keys' ages call for; returns the step taken with those of access tokens."""
        steps = [await self._turn(algorithm, now) for algorithm in ID_TOKEN_ALGORITHMS]
        async with self._database.transaction(Context(SYSTEM_TENANT, "service:auth", now)) as tx:
            await keys.forget_retired(tx, domain.dead_before(now))
        return steps[0]

    async def _turn(self, algorithm: str, now: datetime) -> str | None:
        async with self._database.transaction(Context(SYSTEM_TENANT, "service:auth", now)) as tx:
            return await keys.turn(tx, self._signers, algorithm, self._rotation, self._lead)

    async def tidy(self, now: datetime) -> None:
        """Forget revocations whose tokens are dead, grants that ended long ago, and tries that no longer count."""
        async with self._keeper.connection() as connection:
            await connection.execute(_UNPUBLISHED, now)
            await connection.execute(_ENDED, now - _KEEP_GRANTS)
        async with self._database.transaction(Context(SYSTEM_TENANT, "service:auth", now)) as tx:
            await links.tidy(tx, now - _KEEP_LINKS)
            await attempts.tidy(tx, now - domain.MEMORY)
            await factors.tidy(tx)
