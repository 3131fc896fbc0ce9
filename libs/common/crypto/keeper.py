"""The worker of every service that keeps secrets: follows the key ring, and moves what is stored to its active key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self
from uuid import UUID

import asyncpg
import structlog

from libs.common.context import Context, utc_now
from libs.common.crypto.holdings import Batch, Holding, in_use, require_known_keys, rewrap_batch
from libs.common.crypto.resealing import Resealer
from libs.common.crypto.rings import RingWatch
from libs.common.database.pool import Database
from libs.common.database.transaction import Transaction
from libs.common.errors import Unavailable
from libs.common.ids import SYSTEM_TENANT
from libs.common.telemetry.metrics import KEYRING_ROWS, KEYRING_UNREADABLE

_LOG = structlog.get_logger(__name__)
_SECONDS = 2.0


class RingKeeper:
    """Does it every few seconds, under a role of its own; several of them at once are harmless."""

    def __init__(self, keeper: Database, watch: RingWatch, holding: Holding, resealer: Resealer | None) -> None:
        self._resealer = resealer
        self._keeper = keeper
        self._watch = watch
        self._holding = holding
        self._known: set[str] = set()

    @classmethod
    async def start(
        cls, keeper: Database, watch: RingWatch, holding: Holding, resealer: Resealer | None = None
    ) -> Self:
        """Return a keeper of a ring that holds every key that is needed.

        Raises:
            SettingsError: it lacks some; names them and what they protect.
        """
        made = cls(keeper, watch, holding, resealer)
        async with made._transaction() as tx:
            await require_known_keys(tx.connection, watch.ring, holding)
        return made

    async def run(self) -> None:
        """Work until cancelled; a lost database is waited for."""
        while True:
            try:
                await self._watch.refresh()
                await self.rewrap()
                await self._look()
                if self._resealer is not None:
                    await self._resealer.go_on(self._watch.ring)
            except (Unavailable, OSError, TimeoutError, asyncpg.PostgresConnectionError) as error:
                _LOG.warning("keyring.interrupted", error=repr(error))
            except Exception:
                _LOG.exception("keyring.failed")
            await asyncio.sleep(_SECONDS)

    async def rewrap(self) -> int:
        """Move every row to the active key, a batch a transaction; returns how many went over.

        Stopped anywhere, it goes on where it was: what is left is what another key wraps.
        """
        moved = unreadable = 0
        after: UUID | None = None
        while True:
            batch = await self._batch(after)
            moved, unreadable, after = moved + batch.moved, unreadable + batch.unreadable, batch.after
            if batch.moved:
                _LOG.info("keyring.rewrapped", rows=batch.moved, so_far=moved, active=self._watch.ring.active)
            if after is None:
                break
        KEYRING_UNREADABLE.labels(self._keeper.service).set(unreadable)
        return moved

    async def _batch(self, after: UUID | None) -> Batch:
        async with self._transaction() as tx:
            return await rewrap_batch(tx, self._watch.ring, self._holding, after)

    async def _look(self) -> None:
        """Count what each key protects; forget keys that left the file, unless something still needs them."""
        async with self._transaction() as tx:
            used = await in_use(tx.connection, self._holding)
        for key in self._known | used.keys():
            KEYRING_ROWS.labels(self._keeper.service, key).set(used.get(key, 0))
        self._known |= used.keys()
        for key in self._watch.ring.ids() - self._watch.listed:
            if rows := used.get(key):
                _LOG.error("keyring.key_missing", key=key, rows=rows, protects=self._holding.protects)
            else:
                self._watch.ring.forget(key)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        context = Context(SYSTEM_TENANT, f"service:{self._keeper.service}", utc_now())
        async with self._keeper.transaction(context) as tx:
            yield tx
