"""The worker that signs checkpoints: each tenant's trail that grew, at least every minute and every thousand entries."""

import asyncio
from datetime import timedelta
from uuid import UUID

import asyncpg
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import Counter, Gauge

from libs.common.context import Context, utc_now
from libs.common.crypto.keyring import KeyRing
from libs.common.database.pool import Database
from libs.common.errors import Unavailable
from libs.common.ids import SYSTEM_TENANT
from libs.common.objects import Objects
from services.audit import commands, signing, store

_LOG = structlog.get_logger(__name__)
_LIMIT = 200
_POLL_SECONDS = 1.0

CHECKPOINTS = Counter("regent_audit_checkpoints_total", "Checkpoints signed")
REWRITTEN = Gauge("regent_audit_rewritten_trees", "Trees that do not continue what was signed before")


class Checkpointer:
    """Signs what is due. Two of them at once are harmless: the same tree gives the same note, recorded once."""

    def __init__(self, database: Database, objects: Objects, ring: KeyRing, *, seconds: float, entries: int) -> None:
        self._database = database
        self._objects = objects
        self._ring = ring
        self._interval = timedelta(seconds=seconds)
        self._entries = entries
        self.rewritten: dict[UUID, str] = {}

    async def ensure_key(self) -> None:
        """Check that the ring opens the key, or make the first one where nothing was ever read or signed.

        Raises:
            MissingKeyError: the key is gone.
            UnreadableSecretError: the ring does not open it.
        """
        try:
            async with self._database.transaction(_context(SYSTEM_TENANT)) as tx:
                made = await signing.ensure(tx, self._ring)
        except asyncpg.UniqueViolationError:  # another replica was faster
            return await self.ensure_key()
        if made:
            _LOG.warning("audit.key_created")
        return None

    async def run(self) -> None:
        """Sign until cancelled; a lost database or store is waited for."""
        while True:
            try:
                await self.sign_due()
            except (Unavailable, OSError, TimeoutError, asyncpg.PostgresConnectionError) as error:
                _LOG.warning("checkpointer.interrupted", error=repr(error))
            except Exception:
                _LOG.exception("checkpointer.failed")
            await asyncio.sleep(_POLL_SECONDS)

    async def sign_due(self) -> int:
        """Sign every trail that is due now; returns how many were signed."""
        now = utc_now()
        async with self._database.transaction(_context(SYSTEM_TENANT)) as tx:
            tenants = await store.due(tx, before=now - self._interval, growth=self._entries, limit=_LIMIT)
        waiting = [tenant for tenant in tenants if tenant not in self.rewritten]
        if not waiting:
            return 0
        private = await self._key()
        return sum([await self._sign(tenant, private) for tenant in waiting])

    async def _sign(self, tenant: UUID, private: Ed25519PrivateKey) -> bool:
        try:
            async with self._database.transaction(_context(tenant)) as tx:
                signed = await commands.sign(tx, private, self._objects)
        except commands.RewrittenError as error:
            self.rewritten[tenant] = str(error)
            REWRITTEN.set(len(self.rewritten))
            _LOG.critical("audit.rewritten", tenant_id=str(tenant), reason=str(error))
            return False
        CHECKPOINTS.inc(signed)
        return signed

    async def _key(self) -> Ed25519PrivateKey:
        async with self._database.transaction(_context(SYSTEM_TENANT)) as tx:
            return await signing.current(tx, self._ring)


def _context(tenant: UUID) -> Context:
    return Context(tenant, "service:audit", utc_now())
