"""How much mail strangers can cause: per address and hour, and per network."""

from datetime import timedelta
from uuid import uuid4

from libs.common.database.transaction import Transaction
from libs.common.errors import TooManyRequests
from services.auth import domain
from services.auth.store import attempts
from services.auth.throttle import Throttle

PER_HOUR = {"signup": 5, "reset": 3, "email": 3, "invitation": 5}
NETWORK = 30
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
    now = tx.context.now
    bucket = throttle.mark(purpose, domain.address_block(tx.context.address))
    await attempts.lock_bucket(tx, bucket)
    recent = await attempts.recent(tx, bucket, now - domain.WINDOW, most)
    if len(recent) >= most:
        wait = recent[-1]["at"] + domain.WINDOW - now
        raise TooManyRequests(
            "Too many requests from your network; wait.", retry_after=max(1, int(wait.total_seconds()))
        )
    await attempts.add(tx, bucket, uuid4())
