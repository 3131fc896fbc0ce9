"""Time-based one-time passwords (RFC 6238): SHA-1, six digits, thirty seconds, as every authenticator app has them."""

import base64
import hmac
import secrets
from datetime import datetime
from urllib.parse import quote, urlencode

_DIGITS, _SECONDS, _SECRET_BYTES = 6, 30, 20
_DRIFT = (0, -1, 1)
"""Steps that a clock may be off."""


def new_secret() -> bytes:
    """Make a secret of 160 bits (RFC 4226, 4)."""
    return secrets.token_bytes(_SECRET_BYTES)


def spelled(secret: bytes) -> str:
    """Return a secret as people type it into an app."""
    return base64.b32encode(secret).decode()


def enrolment_uri(secret: bytes, email: str) -> str:
    """Return the address that an app reads from a QR code."""
    query = {"secret": spelled(secret), "issuer": "Regent", "digits": _DIGITS, "period": _SECONDS}
    return f"otpauth://totp/{quote(f'Regent:{email}', safe='')}?{urlencode(query)}"


def code_at(secret: bytes, step: int) -> str:
    """Return the code of a time step."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 0xF
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return str(number % 10**_DIGITS).zfill(_DIGITS)


def step_of(now: datetime) -> int:
    """Return the time step of an instant."""
    return int(now.timestamp()) // _SECONDS


def matching_step(secret: bytes, code: str, now: datetime, after: int) -> int | None:
    """Return the time step, later than `after`, whose code this is; None where there is none."""
    current = step_of(now)
    for step in (current + drift for drift in _DRIFT):
        if step > after and hmac.compare_digest(code_at(secret, step).encode(), code.encode("utf-8", "replace")):
            return step
    return None
