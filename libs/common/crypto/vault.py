"""A service's secrets in its own tables: a data key per tenant, wrapped by the ring's active key."""

from collections.abc import Sequence
from typing import Protocol

from asyncpg import ForeignKeyViolationError

from libs.common.crypto import versions
from libs.common.crypto.keyring import KeyRing, Place, UnreadableSecretError, WrappedKey, sealing_version
from libs.common.database.transaction import Transaction
from libs.common.errors import Unavailable

_FIRST = 1


class Watch(Protocol):
    """What follows a key ring."""

    ring: KeyRing

    async def refresh(self) -> bool:
        """Take over a ring that changed; returns whether it did."""


class Vault:
    """Seals and opens secrets of the transaction's tenant."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    @property
    def _ring(self) -> KeyRing:
        return self._watch.ring

    async def seal(self, tx: Transaction, *, table: str, column: str, row: str, secret: bytes) -> bytes:
        """Encrypt a secret for its place; the tenant's data key is made at its first secret.

        Raises:
            Unavailable: the key that this process held active was retired meanwhile.
        """
        await versions.hold_newest(tx)
        keys = await self._keys(tx)
        if not keys:
            await self._add(tx)
            keys = await self._keys(tx)  # another transaction may have been first
        if not keys:
            raise UnreadableSecretError("the tenant's data key cannot be read back")
        return self._ring.seal(keys[0], Place(tx.tenant_id, table, column, row), secret)

    async def open(self, tx: Transaction, *, table: str, column: str, row: str, sealed: bytes) -> bytes:
        """Decrypt a secret.

        Raises:
            UnreadableSecretError: its key is gone, or it was moved or altered.
        """
        keys = await self._keys(tx)
        if not keys:
            raise UnreadableSecretError("the tenant has no data key: its secrets were shredded")
        return opened(self._ring, keys, Place(tx.tenant_id, table, column, row), sealed)

    async def _add(self, tx: Transaction) -> None:
        try:
            await versions.add_first(tx, self._ring)
        except ForeignKeyViolationError:
            await self._watch.refresh()
            raise Unavailable("The key ring has changed; try again.", retry_after=1) from None

    async def _keys(self, tx: Transaction) -> list[WrappedKey]:
        keys = await versions.all_versions(tx)
        if not all(self._ring.holds(key.key_id) for key in keys):
            await self._watch.refresh()  # another process was told of the new key first
        return keys


def opened(ring: KeyRing, keys: Sequence[WrappedKey], place: Place, sealed: bytes) -> bytes:
    """Decrypt a secret by the version that it names; one that names none is as old as the first.

    Raises:
        UnreadableSecretError: its version is gone, or it was moved or altered.
    """
    named = next((key for key in keys if key.version == sealing_version(sealed)), None)
    first = next((key for key in keys if key.version == _FIRST), None)
    if named is not None:
        try:
            return ring.open(named, place, sealed)
        except UnreadableSecretError:
            if first is None:
                raise
    if first is None:
        raise UnreadableSecretError(f"the data key of {place.table}.{place.column} of row {place.row} is gone")
    return ring.open(WrappedKey(first.key_id, first.wrapped), place, sealed)
