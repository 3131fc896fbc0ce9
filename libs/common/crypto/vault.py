"""A service's secrets in its own tables: a data key per tenant, wrapped by the ring's active key."""

from asyncpg import ForeignKeyViolationError

from libs.common.crypto.keyring import KeyRing, Place, UnreadableSecretError, WrappedKey
from libs.common.crypto.rings import RingWatch
from libs.common.database.transaction import Transaction
from libs.common.errors import Unavailable

_FIND = "SELECT key_id, wrapped FROM data_key WHERE tenant_id = $1"
_ADD = """
INSERT INTO data_key (tenant_id, key_id, wrapped, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""


class Vault:
    """Seals and opens secrets of the transaction's tenant."""

    def __init__(self, watch: RingWatch) -> None:
        self._watch = watch

    @property
    def _ring(self) -> KeyRing:
        return self._watch.ring

    async def seal(self, tx: Transaction, *, table: str, column: str, row: str, secret: bytes) -> bytes:
        """Encrypt a secret for its place; the tenant's data key is made at its first secret.

        Raises:
            Unavailable: the key that this process held active was retired meanwhile.
        """
        key = await self._find(tx)
        if key is None:
            await self._add(tx)
            key = await self._find(tx)  # another transaction may have been first
        if key is None:
            raise UnreadableSecretError("the tenant's data key cannot be read back")
        return self._ring.seal(key, Place(tx.tenant_id, table, column, row), secret)

    async def open(self, tx: Transaction, *, table: str, column: str, row: str, sealed: bytes) -> bytes:
        """Decrypt a secret.

        Raises:
            UnreadableSecretError: its key is gone, or it was moved or altered.
        """
        key = await self._find(tx)
        if key is None:
            raise UnreadableSecretError("the tenant has no data key: its secrets were shredded")
        return self._ring.open(key, Place(tx.tenant_id, table, column, row), sealed)

    async def _add(self, tx: Transaction) -> None:
        made = self._ring.new_data_key(tx.tenant_id)
        try:
            await tx.connection.execute(_ADD, tx.tenant_id, made.key_id, made.wrapped, tx.context.now)
        except ForeignKeyViolationError:
            await self._watch.refresh()
            raise Unavailable("The key ring has changed; try again.", retry_after=1) from None

    async def _find(self, tx: Transaction) -> WrappedKey | None:
        row = await tx.connection.fetchrow(_FIND, tx.tenant_id)
        if row is None:
            return None
        if not self._ring.holds(row["key_id"]):
            await self._watch.refresh()  # another process was told of the new key first
        return WrappedKey(row["key_id"], row["wrapped"])
