"""Nonces for proofs of possession (RFC 9449, 8): keyed, kept nowhere, good for minutes."""

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
    known = (_of(throttle, _slice(now) - ago) for ago in (0, 1))
    return any(hmac.compare_digest(nonce.encode("utf-8", "surrogatepass"), one.encode()) for one in known)


def _slice(now: datetime) -> int:
    return int(now.timestamp()) // _SECONDS


def _of(throttle: Throttle, number: int) -> str:
    return half_url(throttle.mark("dpop-nonce", str(number))[:_BYTES])
