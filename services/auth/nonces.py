"""Nonces for proofs of possession (RFC 9449, 8): keyed, kept nowhere, good for minutes.

The publisher tells every service which they are, so that one that auth gave out is good at all of them: clients keep
nonces by origin, and everything here is one.
"""

import hmac
from datetime import datetime

from services.auth.protocol import half_url
from services.auth.throttle import Throttle

_SECONDS = 120
_BYTES = 16


def fresh(throttle: Throttle, now: datetime) -> str:
    """Return the nonce that proofs carry now."""
    return _of(throttle, _slice(now))


def is_fresh(throttle: Throttle, nonce: str, now: datetime) -> bool:
    """Say whether a nonce was given out in the last two to four minutes."""
    given = nonce.encode("utf-8", "surrogatepass")
    return any(hmac.compare_digest(given, one.encode()) for one in good(throttle, now))


def good(throttle: Throttle, now: datetime) -> tuple[str, ...]:
    """Return the nonces that are good: this one's, the last one's, and the next one's, which a faster clock gives out."""
    return tuple(_of(throttle, _slice(now) + step) for step in (0, -1, 1))


def _slice(now: datetime) -> int:
    return int(now.timestamp()) // _SECONDS


def _of(throttle: Throttle, number: int) -> str:
    return half_url(throttle.mark("dpop-nonce", str(number))[:_BYTES])
