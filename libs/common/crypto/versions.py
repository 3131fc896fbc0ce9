"""A tenant's data key has versions: the newest seals, earlier ones open what is not sealed anew yet.

Who seals holds a lock that the next version waits for: once that is there, nothing is sealed under an earlier one.
"""

from dataclasses import replace
from uuid import UUID

from asyncpg import ForeignKeyViolationError

from libs.common.crypto.keyring import KeyRing, WrappedKey
from libs.common.database.transaction import Transaction
from libs.common.errors import Unavailable
from libs.common.events.keyring import DataKeyChanged

_ALL = "SELECT key_id, wrapped, version FROM data_key WHERE tenant_id = $1 ORDER BY version DESC"
_ADD = """
INSERT INTO data_key (tenant_id, key_id, wrapped, version, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
"""
_SEALING = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))"
_TURNING = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_FORGET = "DELETE FROM data_key WHERE tenant_id = $1 AND version < $2"


async def all_versions(tx: Transaction) -> list[WrappedKey]:
    """Return the data keys of the transaction's tenant, the newest first."""
    rows = await tx.connection.fetch(_ALL, tx.tenant_id)
    return [WrappedKey(row["key_id"], row["wrapped"], row["version"]) for row in rows]


async def hold_newest(tx: Transaction) -> None:
    """Let no newer version come before the transaction ends."""
    await tx.connection.execute(_SEALING, _lock(tx))


async def add_first(tx: Transaction, ring: KeyRing) -> None:
    """Give the transaction's tenant its first data key; another transaction may be first.

    Raises:
        ForeignKeyViolationError: the ring's active key was retired meanwhile.
    """
    await _add(tx, ring.new_data_key(tx.tenant_id), 1)


async def begin_turning(tx: Transaction, ring: KeyRing) -> bool:
    """Give the tenant a new version for all that is sealed from now on; false where there is no key to turn.

    Where an earlier turning is not done yet, it goes on and there is no other version.

    Raises:
        Unavailable: the service has not taken the ring's active key up.
    """
    await tx.connection.execute(_TURNING, _lock(tx))
    known = await all_versions(tx)
    if len(known) != 1:
        return bool(known)
    following = known[0].version + 1
    try:
        await _add(tx, ring.new_data_key(tx.tenant_id), following)
    except ForeignKeyViolationError:
        raise Unavailable(f"{tx.service} has not taken up key {ring.active}; does it run?", retry_after=5) from None
    await _say(tx, "keyring.turning", following)
    return True


async def note_resealed(tx: Transaction, version: int, rows: int) -> None:
    """Announce, in the transaction that did it, that rows went over to a version."""
    await _say(tx, "keyring.resealed", version, rows)


async def forget_earlier(tx: Transaction, version: int) -> None:
    """Remove the versions before one that has taken everything over."""
    await tx.connection.execute(_FORGET, tx.tenant_id, version)
    await _say(tx, "keyring.turned", version)


async def _add(tx: Transaction, key: WrappedKey, version: int) -> None:
    made = replace(key, version=version)
    await tx.connection.execute(_ADD, tx.tenant_id, made.key_id, made.wrapped, made.version, tx.context.now)


async def _say(tx: Transaction, event: str, version: int, rows: int | None = None) -> None:
    await tx.emit(event, DataKeyChanged(version=version, rows=rows), entity=f"data-key:{tx.service}")


def _lock(tx: Transaction) -> str:
    return f"data-key:{tx.service}:{UUID(str(tx.tenant_id))}"
