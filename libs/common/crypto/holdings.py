"""What the ring's keys protect: tables whose rows hold wrapped keys, counted, moved to another key, let go."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from asyncpg import ForeignKeyViolationError

from libs.common.crypto.keyring import KeyRing, UnreadableSecretError, WrappedKey
from libs.common.crypto.parsing import bad_ring
from libs.common.database.transaction import Transaction
from libs.common.errors import Conflict
from libs.common.events.keyring import KeyRingChanged

_LOG = structlog.get_logger(__name__)
_BATCH = 200
_FORGET = "DELETE FROM key_canary WHERE key_id = $1"


@dataclass(frozen=True, slots=True)
class Holding:
    """A table of one service: its constant statements, and in words what its rows protect.

    `foreign` finds rows (tenant_id, row_id, key_id, wrapped) that another key than $1 wraps, by row_id after $2, at most
    $3; `replace` moves row $2 from wrapped $3 to key $1 and wrapped $4 if it is still as it was found.
    """

    protects: str
    count: str
    foreign: str
    replace: str


DATA_KEYS = Holding(
    protects="tenants' data keys",
    count="SELECT key_id, count(*) AS rows FROM data_key GROUP BY key_id ORDER BY key_id",
    foreign="""
SELECT tenant_id, tenant_id AS row_id, key_id, wrapped FROM data_key
WHERE key_id <> $1 AND ($2::uuid IS NULL OR tenant_id > $2) ORDER BY tenant_id FETCH FIRST $3 ROWS WITH TIES
""",
    replace="""
UPDATE data_key d SET key_id = $1, wrapped = given.fresh
FROM unnest($2::uuid[], $3::bytea[], $4::bytea[]) AS given (id, old, fresh)
WHERE d.tenant_id = given.id AND d.wrapped = given.old
""",
)


@dataclass(frozen=True, slots=True)
class Batch:
    """How far one batch went: rows that went over to the active key, rows that no held key opens, where to go on."""

    moved: int
    unreadable: int
    after: UUID | None


async def in_use(connection: Any, holding: Holding) -> dict[str, int]:
    """Return how many rows each key protects, by the key's id."""
    return {row["key_id"]: row["rows"] for row in await connection.fetch(holding.count)}


async def require_known_keys(connection: Any, ring: KeyRing, holding: Holding) -> None:
    """Check that the ring holds every key under which something is stored.

    Raises:
        SettingsError: names the keys that it lacks and what each protects.
    """
    lost = [f"{key} (protects {rows} {holding.protects})" for key, rows in (await in_use(connection, holding)).items()
            if not ring.holds(key)]  # fmt: skip
    if lost:
        raise bad_ring(f"lacks keys that stored secrets need: {', '.join(lost)}")


async def rewrap_batch(tx: Transaction, ring: KeyRing, holding: Holding, after: UUID | None) -> Batch:
    """Move a batch of rows to the active key, and say so in the same transaction. Doing it again moves nothing."""
    rows = await tx.connection.fetch(holding.foreign, ring.active, after, _BATCH)
    fresh = [(row, key) for row in rows if (key := _rewrapped(ring, row, holding)) is not None]
    moved = await _replace(tx, holding, ring.active, fresh) if fresh else 0
    if moved:
        changed = KeyRingChanged(key_id=ring.active, rows=moved)
        await tx.emit("keyring.rewrapped", changed, entity=f"keyring:{tx.service}")
    return Batch(moved, len(rows) - len(fresh), rows[-1]["row_id"] if len(rows) >= _BATCH else None)


async def _replace(tx: Transaction, holding: Holding, active: str, fresh: Sequence[tuple[Any, WrappedKey]]) -> int:
    ids = [row["row_id"] for row, _ in fresh]
    old = [row["wrapped"] for row, _ in fresh]
    new = [key.wrapped for _, key in fresh]
    status: str = await tx.connection.execute(holding.replace, active, ids, old, new)
    return int(status.rsplit(" ", 1)[-1])


def _rewrapped(ring: KeyRing, row: Any, holding: Holding) -> WrappedKey | None:
    try:
        return ring.rewrap(row["tenant_id"], WrappedKey(row["key_id"], row["wrapped"]))
    except UnreadableSecretError as error:
        _LOG.error("keyring.row_unreadable", row=str(row["row_id"]), protects=holding.protects, reason=str(error))
        return None


async def note_extended(tx: Transaction, key_id: str) -> None:
    """Announce that a key came into the ring."""
    await tx.emit("keyring.extended", KeyRingChanged(key_id=key_id), entity=f"keyring:{tx.service}")


async def retire(tx: Transaction, holding: Holding, key_id: str) -> None:
    """Let a key go: from now on nothing can be stored under it. Before that it may leave no ring.

    Raises:
        Conflict: something is still stored under it; says how much and what.
    """
    rows = (await in_use(tx.connection, holding)).get(key_id, 0)
    if rows:
        raise Conflict(f"Key {key_id} still protects {rows} {holding.protects} of {tx.service}.", type="key-in-use")
    try:
        await tx.connection.execute(_FORGET, key_id)
    except ForeignKeyViolationError:  # stored a moment ago
        raise Conflict(f"Key {key_id} is still needed by {tx.service}.", type="key-in-use") from None
    await tx.emit("keyring.retired", KeyRingChanged(key_id=key_id), entity=f"keyring:{tx.service}")
