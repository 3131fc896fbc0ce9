"""Access tokens: JWTs per RFC 9068, asymmetric, every claim required and checked in every service."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from sqlalchemy.util import LRUCache

from libs.common.errors import Unauthenticated, Unavailable
from libs.common.identity.audience import paths_of
from libs.common.identity.principal import Principal, parse_scope
from libs.common.identity.state import LIFETIME_SECONDS, TRUST_SECONDS, IdentityState

ALGORITHM = "ES256"
TOKEN_TYPE = "at+jwt"
_TYPES = (TOKEN_TYPE, f"application/{TOKEN_TYPE}")  # RFC 9068, 4
LEEWAY_SECONDS = 5
_HEADER = {"alg", "kid", "typ"}


class Verifier:
    """Checks access tokens against the keys and revocations known to this process.

    A verified token's claims are cached until it expires; a change of keys or revocations empties the cache.
    """

    def __init__(self, state: IdentityState, issuer: str) -> None:
        self._state = state
        self._issuer = issuer
        self._cache: LRUCache[str, Principal] = LRUCache(10_000)
        self._version = state.version

    def verify(self, token: str, now: datetime, *, writes: bool = True) -> Principal:
        """Return who the token speaks for.

        Raises:
            Unauthenticated: the token is malformed, foreign, expired, revoked or lacks a claim.
            Unavailable: revocations have not been readable for too long.
        """
        self._require_fresh(writes=writes)
        if self._version != self._state.version:
            self._cache.clear()
            self._version = self._state.version
        principal: Principal | None = self._cache.get(token)
        if principal is None:
            principal = self._cache[token] = self._check(token, now)
        if principal.expires <= now:
            raise Unauthenticated("The access token has expired.", type="token-expired")
        return principal

    def _require_fresh(self, *, writes: bool) -> None:
        age = self._state.age()
        if age > LIFETIME_SECONDS or (writes and age > TRUST_SECONDS):
            raise Unavailable("Revocations cannot be checked now; try again.", retry_after=5)

    def _check(self, token: str, now: datetime) -> Principal:
        claims = self._signed_claims(token)
        try:
            principal = _principal(claims, self._issuer, now)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise _refusal() from error
        if principal.grant_id in self._state.revoked or principal.tenant_id in self._state.suspended:
            raise Unauthenticated("The access was revoked.", type="token-revoked")
        return principal

    def _signed_claims(self, token: str) -> dict[str, Any]:
        try:
            header = jws.extract_compact(token.encode()).headers()
            if set(header) != _HEADER or header["typ"] not in _TYPES or header["alg"] != ALGORITHM:
                raise _refusal()
            key = self._state.keys.get(header["kid"])
            if key is None:
                raise _refusal()
            claims = orjson.loads(jws.deserialize_compact(token, key, algorithms=[ALGORITHM]).payload)
        except (JoseError, ValueError, TypeError, AttributeError) as error:
            raise _refusal() from error
        if not isinstance(claims, dict):
            raise _refusal()
        return claims


def _refusal() -> Unauthenticated:
    return Unauthenticated("The access token is not valid.", type="invalid-token")


def _principal(claims: dict[str, Any], issuer: str, now: datetime) -> Principal:
    moment = now.timestamp()
    numbers = [claims[name] for name in ("exp", "nbf", "iat")]
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise ValueError("a time is no integer")
    expires, not_before, issued = numbers
    if not (not_before <= moment + LEEWAY_SECONDS and issued <= moment + LEEWAY_SECONDS and expires > moment):
        raise ValueError("not valid at this time")
    if expires - issued > LIFETIME_SECONDS:
        raise ValueError("lives too long")
    if claims["iss"] != issuer or not claims["jti"]:
        raise ValueError("foreign")
    subject = claims["sub"]
    if not isinstance(subject, str) or subject.partition(":")[0] not in ("user", "client"):
        raise ValueError("no subject")
    return Principal(
        tenant_id=UUID(claims["tenant_id"]),
        subject=subject,
        grant_id=UUID(claims["gid"]),
        permissions=parse_scope(claims["scope"]),
        expires=datetime.fromtimestamp(expires, UTC),
        jkt=_key_of(claims),
        nonce=claims.get("dpop_nonce") is True,
        owner=f"user:{UUID(claims['owner_id'])}" if "owner_id" in claims else None,
        paths=paths_of(_audience(claims["aud"]), issuer),
    )


def _audience(said: Any) -> str | list[str]:
    """Return whom a token is for, if it can be read."""
    if isinstance(said, str) or (isinstance(said, list) and all(isinstance(one, str) for one in said)):
        return said
    raise TypeError("no audience")


def _key_of(claims: dict[str, Any]) -> str | None:
    """Return the thumbprint that a token is bound to (RFC 9449, 6.1); any other confirmation is not understood."""
    if "cnf" not in claims:
        return None
    jkt = claims["cnf"]["jkt"]
    if len(claims["cnf"]) != 1 or not isinstance(jkt, str) or not jkt:
        raise ValueError("confirmed by something else")
    return jkt
