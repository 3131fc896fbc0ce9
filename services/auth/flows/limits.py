"""How much mail can be caused: per address and hour, per network by strangers, per tenant by its invitations."""

from datetime import timedelta
from uuid import uuid4

from libs.common.database.transaction import Transaction
from libs.common.errors import TooManyRequests
from services.auth import domain
from services.auth.store import attempts
from services.auth.throttle import Throttle

PER_HOUR = {"signup": 5, "reset": 3, "email": 3, "invitation": 5}
NETWORK = 30
TENANT = 100
"""Invitations of one tenant within an hour: nobody makes a sender of bulk mail of us."""
_HOUR = timedelta(hours=1)


async def has_room(tx: Transaction, throttle: Throttle, purpose: str, email: str) -> bool:
    """Count a mail to an address; false where there were enough in the last hour.

    Whoever counts for the same address waits for the other's transaction, so of two links the newer one is known.
    """
    bucket, most = throttle.mark(f"mail-{purpose}", email), PER_HOUR[purpose]
    await attempts.lock_bucket(tx, bucket)
    if len(await attempts.recent(tx, bucket, tx.context.now - _HOUR, most)) >= most:
        return False
    await attempts.add(tx, bucket, uuid4())
    return True


async def count_network(
    tx: Transaction, throttle: Throttle, purpose: str = "mail-network", most: int = NETWORK
) -> None:
    """Count a request, for mail if nothing else is said, from the transaction's network.

    Raises:
        TooManyRequests: there were too many.
    """
    bucket = throttle.mark(purpose, domain.address_block(tx.context.address))
    await _count(tx, bucket, most, domain.WINDOW, "Too many requests from your network; wait.")


async def count_tenant(tx: Transaction, throttle: Throttle) -> None:
    """Count a mail that the transaction's tenant sends to somebody who is none of its people.

    Raises:
        TooManyRequests: there were too many in the last hour.
    """
    bucket = throttle.mark("mail-tenant", str(tx.tenant_id))
    await _count(tx, bucket, TENANT, _HOUR, "Your organisation has invited many people in the last hour; wait.")


async def _count(tx: Transaction, bucket: bytes, most: int, within: timedelta, said: str) -> None:
    now = tx.context.now
    await attempts.lock_bucket(tx, bucket)
    recent = await attempts.recent(tx, bucket, now - within, most)
    if len(recent) >= most:
        wait = recent[-1]["at"] + within - now
        raise TooManyRequests(said, retry_after=max(1, int(wait.total_seconds())))
    await attempts.add(tx, bucket, uuid4())
