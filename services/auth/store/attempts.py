"""Tries to log in: counted before they are made, given back when they succeed; and challenges that were used up."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from libs.common.database.transaction import Row, Transaction

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(encode($1, 'hex'), 0))"
_RECENT = "SELECT at, failed FROM login_attempt WHERE bucket = $1 AND at > $2 ORDER BY at DESC LIMIT $3"
_ADD = "INSERT INTO login_attempt (bucket, id, at, failed) VALUES ($1, $2, $3, $4)"
_FAILED = "UPDATE login_attempt SET failed = true WHERE bucket = ANY($1::bytea[]) AND id = $2"
_FORGET = "DELETE FROM login_attempt WHERE bucket = $1"
_GIVE_BACK = "DELETE FROM login_attempt WHERE bucket = $1 AND id = $2"
_TIDY = "DELETE FROM login_attempt WHERE at < $1"
_USE_CHALLENGE = "INSERT INTO used_challenge (sha256, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"
_TIDY_CHALLENGES = "DELETE FROM used_challenge WHERE expires_at < $1"


async def lose_in_a_crash(tx: Transaction) -> None:
    """Let the commit not wait for the disk: everybody of an address waits for it, and a crash loses little."""
    await tx.connection.execute("SET LOCAL synchronous_commit TO off")


async def lock_bucket(tx: Transaction, bucket: bytes) -> None:
    """Wait until nobody else counts in the bucket, until the transaction's end."""
    await tx.connection.execute(_LOCK, bucket)


async def recent(tx: Transaction, bucket: bytes, since: datetime, limit: int) -> Sequence[Row]:
    """Return when the newest tries after an instant were made, and whether they failed."""
    rows: Sequence[Row] = await tx.connection.fetch(_RECENT, bucket, since, limit)
    return rows


async def add(tx: Transaction, bucket: bytes, id: UUID, *, failed: bool = True) -> None:  # noqa: A002 - the row's own word
    """Count a try, failed or not yet made."""
    await tx.connection.execute(_ADD, bucket, id, tx.context.now, failed)


async def note_failed(tx: Transaction, buckets: Sequence[bytes], id: UUID) -> None:  # noqa: A002
    """Note that an open try failed."""
    await tx.connection.execute(_FAILED, buckets, id)


async def forget(tx: Transaction, bucket: bytes) -> None:
    """Forget all tries of a bucket."""
    await tx.connection.execute(_FORGET, bucket)


async def give_back(tx: Transaction, bucket: bytes, id: UUID) -> None:  # noqa: A002
    """Forget one try."""
    await tx.connection.execute(_GIVE_BACK, bucket, id)


async def use_challenge(tx: Transaction, sha256: bytes, expires_at: datetime) -> bool:
    """Use a challenge up; false where it was used before."""
    return bool(await tx.connection.fetchval(_USE_CHALLENGE, sha256, expires_at))


async def tidy(tx: Transaction, before: datetime) -> None:
    """Forget every try that no longer counts, and every challenge that has expired."""
    await tx.connection.execute(_TIDY, before)
    await tx.connection.execute(_TIDY_CHALLENGES, tx.context.now)
