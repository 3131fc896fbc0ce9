"""A known text under each key of the ring, so that a wrong key is found before it is used."""

from typing import Any

from libs.common.crypto.keyring import KeyRing, Place, UnreadableSecretError, WrappedKey
from libs.common.ids import SYSTEM_TENANT

_TEXT = b"regent canary"
_ALL = "SELECT key_id, wrapped, sealed FROM key_canary ORDER BY key_id"
_ADD = "INSERT INTO key_canary (key_id, wrapped, sealed) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING true"
_KNOWN = "SELECT EXISTS (SELECT FROM key_canary WHERE key_id = $1)"


async def canary_faults(connection: Any, ring: KeyRing) -> list[str]:
    """Return the ids under which the ring holds another key than the one that sealed what is stored."""
    rows = await connection.fetch(_ALL)
    return [row["key_id"] for row in rows if ring.holds(row["key_id"]) and not _opens(ring, row)]


async def mark_active(connection: Any, ring: KeyRing) -> bool:
    """Leave a canary for the active key; says whether it is the first. What is stored refers to it."""
    if await connection.fetchval(_KNOWN, ring.active):
        return False
    wrapped = ring.new_data_key(SYSTEM_TENANT)
    sealed = ring.seal(wrapped, _place(wrapped.key_id), _TEXT)
    return bool(await connection.fetchval(_ADD, wrapped.key_id, wrapped.wrapped, sealed))


def _opens(ring: KeyRing, row: Any) -> bool:
    try:
        return ring.open(WrappedKey(row["key_id"], row["wrapped"]), _place(row["key_id"]), row["sealed"]) == _TEXT
    except UnreadableSecretError:
        return False


def _place(key_id: str) -> Place:
    return Place(SYSTEM_TENANT, "key_canary", "sealed", key_id)
