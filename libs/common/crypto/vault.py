"""A service's secrets in its own tables: data keys per tenant, and a canary that names a wrong key at start."""

from typing import Any

from libs.common.crypto.keyring import KeyRing, Place, UnreadableSecretError, WrappedKey
from libs.common.database.transaction import Transaction
from libs.common.ids import SYSTEM_TENANT
from libs.common.settings import SettingsError

_FIND = "SELECT key_id, wrapped FROM data_key WHERE tenant_id = $1"
_ADD = """
INSERT INTO data_key (tenant_id, key_id, wrapped, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""
_CANARY = b"regent canary"
_CANARIES = "SELECT key_id, wrapped, sealed FROM key_canary"
_ADD_CANARY = "INSERT INTO key_canary (key_id, wrapped, sealed) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"


class Vault:
    """Seals and opens secrets of the transaction's tenant."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    async def seal(self, tx: Transaction, *, table: str, column: str, row: str, secret: bytes) -> bytes:
        """Encrypt a secret for its place; the tenant's data key is made at its first secret."""
        key = await self._find(tx)
        if key is None:
            made = self._ring.new_data_key(tx.tenant_id)
            await tx.connection.execute(_ADD, tx.tenant_id, made.key_id, made.wrapped, tx.context.now)
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

    async def _find(self, tx: Transaction) -> WrappedKey | None:
        row = await tx.connection.fetchrow(_FIND, tx.tenant_id)
        return WrappedKey(row["key_id"], row["wrapped"]) if row else None


async def require_right_keys(connection: Any, ring: KeyRing) -> None:
    """Check each key of the ring against its canary; leave a canary for the active one.

    Raises:
        SettingsError: a key of that id is not the one that sealed what is stored.
    """
    for row in await connection.fetch(_CANARIES):
        if ring.holds(row["key_id"]):
            _require_canary(ring, row)
    place = _canary_place(ring.active)
    wrapped = ring.new_data_key(SYSTEM_TENANT)
    await connection.execute(_ADD_CANARY, ring.active, wrapped.wrapped, ring.seal(wrapped, place, _CANARY))


def _require_canary(ring: KeyRing, row: Any) -> None:
    try:
        content = ring.open(WrappedKey(row["key_id"], row["wrapped"]), _canary_place(row["key_id"]), row["sealed"])
    except UnreadableSecretError:
        content = b""
    if content != _CANARY:
        raise SettingsError(
            f"configuration: REGENT_KEYRING's key {row['key_id']!r} is not the one that sealed the stored secrets"
        )


def _canary_place(key_id: str) -> Place:
    return Place(SYSTEM_TENANT, "key_canary", "sealed", key_id)
