"""How somebody has shown who they are (RFC 8176): what sessions and grants remember of it, and ID tokens say."""

from collections.abc import Sequence
from typing import Any

PASSWORD, CODE, KEY, SEVERAL = "pwd", "otp", "pop", "mfa"
FEDERATED = "fed"
"""A login by an identity provider, whatever it asked for there; no value of RFC 8176 says it."""

ONE_FACTOR, TWO_FACTORS = "urn:regent:acr:1fa", "urn:regent:acr:2fa"
"""What `acr` says: a login by one factor, or by two."""

_BY_FACTOR = {"totp": CODE, "recovery_code": CODE, "passkey": KEY}


def methods(factor: str | None = None, first: str = PASSWORD) -> tuple[str, ...]:
    """Return the methods of a login: the first step's, and a second factor's of this kind if there was one."""
    return (first,) if factor is None else (first, _BY_FACTOR[factor], SEVERAL)


def is_strong(amr: Sequence[str]) -> bool:
    """Say whether a login showed more than one factor."""
    return SEVERAL in amr


def claims(amr: Sequence[str]) -> dict[str, Any]:
    """Return what an ID token says of a login: nothing where nothing is known of it."""
    return {"amr": list(amr), "acr": TWO_FACTORS if is_strong(amr) else ONE_FACTOR} if amr else {}
