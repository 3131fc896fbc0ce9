"""The keys that sign checkpoints: sealed under the service's key ring, replaced but never lost sight of."""

from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.crypto.canaries import mark_active
from libs.common.crypto.holdings import Holding
from libs.common.crypto.keyring import KeyRing, Place, WrappedKey
from libs.common.database.transaction import Transaction
from libs.common.events.audit import KeyCreated
from libs.common.events.keyring import DataKeyChanged
from libs.common.ids import SYSTEM_TENANT, uuid7
from services.audit.checkpoint import VerifierKey

_CURRENT = """
SELECT id, wrapping_key_id, wrapped_key, sealed FROM signing_key WHERE tenant_id = $1 AND retired_at IS NULL
"""
_USED = """
SELECT EXISTS (SELECT FROM signing_key) OR EXISTS (SELECT FROM checkpoint)
    OR EXISTS (SELECT FROM reader_position WHERE position > 0)
"""
_PUBLIC = "SELECT public_key, created_at, retired_at FROM signing_key ORDER BY created_at DESC"
_RETIRE = "UPDATE signing_key SET retired_at = $2 WHERE tenant_id = $1 AND retired_at IS NULL"
_ALL = "SELECT tenant_id, id, wrapping_key_id, wrapped_key, sealed FROM signing_key ORDER BY id FOR UPDATE"
_RESEAL = """
UPDATE signing_key SET wrapping_key_id = $3, wrapped_key = $4, sealed = $5 WHERE tenant_id = $1 AND id = $2
"""
_INSERT = """
INSERT INTO signing_key (tenant_id, id, public_key, wrapping_key_id, wrapped_key, sealed, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
SIGNING_KEYS = Holding(
    protects="keys that sign checkpoints",
    count="SELECT wrapping_key_id AS key_id, count(*) AS rows FROM signing_key GROUP BY 1 ORDER BY 1",
    foreign="""
SELECT tenant_id, id AS row_id, wrapping_key_id AS key_id, wrapped_key AS wrapped FROM signing_key
WHERE wrapping_key_id <> $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3
""",
    replace="""
UPDATE signing_key k SET wrapping_key_id = $1, wrapped_key = given.fresh
FROM unnest($2::uuid[], $3::bytea[], $4::bytea[]) AS given (id, old, fresh)
WHERE k.id = given.id AND k.wrapped_key = given.old
""",
)


class MissingKeyError(Exception):
    """There is no signing key; audit does not invent one."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of a signing key and the time in which it signed."""

    public: bytes
    created_at: datetime
    retired_at: datetime | None

    def under(self, origin: str) -> VerifierKey:
        """Name the key for one tenant's tree."""
        return VerifierKey(origin, self.public)


async def ensure(tx: Transaction, ring: KeyRing) -> bool:
    """Check that the current key opens, or make the first one where nothing was ever read or signed; say if it was made.

    The transaction is the system tenant's.

    Raises:
        MissingKeyError: the key is gone: a new one would make what the old one signed unprovable.
        UnreadableSecretError: the ring does not open it.
    """
    if await tx.connection.fetchval(_USED):
        await current(tx, ring)
        return False
    await _insert(tx, ring)
    return True


async def rotate(tx: Transaction, ring: KeyRing) -> None:
    """Replace the signing key. The old one stays known, so that what it signed can be checked."""
    await tx.connection.execute(_RETIRE, SYSTEM_TENANT, tx.context.now)
    await _insert(tx, ring)


async def reseal(tx: Transaction, ring: KeyRing) -> int:
    """Seal every signing key anew, each under a fresh data key; returns how many there are.

    Raises:
        UnreadableSecretError: the ring does not open one; nothing is changed then.
    """
    rows = await tx.connection.fetch(_ALL)
    for row in rows:
        private = ring.open(WrappedKey(row["wrapping_key_id"], row["wrapped_key"]), _place(row["id"]), row["sealed"])
        fresh = ring.new_data_key(SYSTEM_TENANT)
        sealed = ring.seal(fresh, _place(row["id"]), private)
        await tx.connection.execute(_RESEAL, row["tenant_id"], row["id"], fresh.key_id, fresh.wrapped, sealed)
    await tx.emit("keyring.turned", DataKeyChanged(version=0, rows=len(rows)), entity=f"data-key:{tx.service}")
    return len(rows)


async def current(tx: Transaction, ring: KeyRing) -> Ed25519PrivateKey:
    """Open the key that signs now.

    Raises:
        MissingKeyError: there is none.
        UnreadableSecretError: the ring does not open it.
    """
    row = await tx.connection.fetchrow(_CURRENT, SYSTEM_TENANT)
    if row is None:
        raise MissingKeyError(
            "audit's signing key is gone: restore it, or replace it on purpose by `python -m services.audit.keys rotate`"
        )
    wrapped = WrappedKey(row["wrapping_key_id"], row["wrapped_key"])
    return Ed25519PrivateKey.from_private_bytes(ring.open(wrapped, _place(row["id"]), row["sealed"]))


async def public_keys(tx: Transaction) -> list[PublicKey]:
    """Read the public halves of all keys that ever signed, the newest first."""
    return [PublicKey(*row) for row in await tx.connection.fetch(_PUBLIC)]


async def _insert(tx: Transaction, ring: KeyRing) -> None:
    private, key_id = Ed25519PrivateKey.generate(), uuid7(tx.context.now)
    await mark_active(tx.connection, ring)
    wrapped = ring.new_data_key(SYSTEM_TENANT)
    sealed = ring.seal(wrapped, _place(key_id), private.private_bytes_raw())
    public = private.public_key().public_bytes_raw()
    row = (SYSTEM_TENANT, key_id, public, wrapped.key_id, wrapped.wrapped, sealed, tx.context.now)
    await tx.connection.execute(_INSERT, *row)
    created = KeyCreated(name=str(key_id), public_key=b64encode(public).decode(), created_at=tx.context.now)
    await tx.emit("key.created", created, entity=key_id)


def _place(key_id: UUID) -> Place:
    return Place(SYSTEM_TENANT, "signing_key", "sealed", str(key_id))
