"""Tries to log in: counted before they are made, given back when they succeed."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from libs.common.database.transaction import Transaction

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(encode($1, 'hex'), 0))"
_RECENT = "SELECT at FROM login_attempt WHERE bucket = $1 AND at > $2 ORDER BY at DESC LIMIT $3"
_ADD = "INSERT INTO login_attempt (bucket, id, at) VALUES ($1, $2, $3)"
_FORGET = "DELETE FROM login_attempt WHERE bucket = $1"
_GIVE_BACK = "DELETE FROM login_attempt WHERE bucket = $1 AND id = $2"
_TIDY = "DELETE FROM login_attempt WHERE at < $1"


async def lock_bucket(tx: Transaction, bucket: bytes) -> None:
    """Wait until nobody else counts in the bucket, until the transaction's end."""
    await tx.connection.execute(_LOCK, bucket)


async def recent(tx: Transaction, bucket: bytes, since: datetime, limit: int) -> Sequence[datetime]:
    """Return when the newest tries after an instant were made."""
    return [row["at"] for row in await tx.connection.fetch(_RECENT, bucket, since, limit)]


async def add(tx: Transaction, bucket: bytes, id: UUID) -> None:  # noqa: A002 - the row's own word
    """Count a try."""
    await tx.connection.execute(_ADD, bucket, id, tx.context.now)


async def forget(tx: Transaction, bucket: bytes) -> None:
    """Forget all tries of a bucket."""
    await tx.connection.execute(_FORGET, bucket)


async def give_back(tx: Transaction, bucket: bytes, id: UUID) -> None:  # noqa: A002
    """Forget one try."""
    await tx.connection.execute(_GIVE_BACK, bucket, id)


async def tidy(tx: Transaction, before: datetime) -> None:
    """Forget every try that no longer counts."""
    await tx.connection.execute(_TIDY, before)
