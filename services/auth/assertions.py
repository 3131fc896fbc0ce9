"""Client assertions (RFC 7523): a client signs that it is itself, for this issuer, for minutes, once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from services.auth.registration import ASSERTION_ALGORITHMS

KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST = timedelta(minutes=10)
_LEEWAY = timedelta(seconds=10)
_HEADER = {"alg", "kid", "typ"}
_TYPES = ("JWT", "client-authentication+jwt")
_MAX_TEXT = 8000
_MAX_ID = 300


def claimed_client(assertion: str) -> str:
    """Return whom an assertion says that it comes from, before anything of it is checked."""
    try:
        subject = _content(jws.extract_compact(assertion.encode()).payload).get("sub")
    except (JoseError, ValueError, TypeError):
        return ""
    return subject if isinstance(subject, str) else ""


def claimed_key(assertion: str) -> str | None:
    """Return the id of the key that an assertion names, before anything of it is checked."""
    try:
        kid = jws.extract_compact(assertion.encode()).headers().get("kid")
    except (JoseError, ValueError, TypeError):
        return None
    return kid if isinstance(kid, str) else None


def verified_identifier(
    assertion: str, jwks: dict[str, Any], client_id: str, issuer: str, now: datetime
) -> tuple[str, datetime] | None:
    """Return an assertion's `jti` and when it ends, or None where it proves nothing."""
    try:
        claims = _signed(assertion, jwks)
        ends = datetime.fromtimestamp(_moment(claims, "exp"), UTC)
        issued = [datetime.fromtimestamp(_moment(claims, name), UTC) for name in ("iat", "nbf") if name in claims]
    except (JoseError, ValueError, TypeError, KeyError, OverflowError, OSError, AttributeError):
        return None
    identifier = claims.get("jti")
    about = claims.get("iss") == client_id == claims.get("sub") and claims.get("aud") in (issuer, [issuer])
    timely = now < ends <= now + _LONGEST + _LEEWAY and all(at <= now + _LEEWAY for at in issued)
    named = isinstance(identifier, str) and 0 < len(identifier) <= _MAX_ID
    return (str(identifier), ends) if about and timely and named else None


def _signed(assertion: str, jwks: dict[str, Any]) -> dict[str, Any]:
    if len(assertion) > _MAX_TEXT:
        raise ValueError("too long")
    header = jws.extract_compact(assertion.encode()).headers()
    if set(header) - _HEADER or header.get("typ", "JWT") not in _TYPES:
        raise ValueError("the header says more than it may")
    keys = KeySet.import_key_set(jwks).keys  # type: ignore[arg-type]
    for key in keys:
        if "kid" in header and key.kid != header["kid"] and len(keys) > 1:
            continue
        try:
            return _content(jws.deserialize_compact(assertion, key, algorithms=list(ASSERTION_ALGORITHMS)).payload)
        except (JoseError, ValueError, TypeError):
            continue
    raise ValueError("no key verifies it")


def _content(payload: bytes) -> dict[str, Any]:
    claims = orjson.loads(payload)
    if not isinstance(claims, dict):
        raise TypeError("no claims")
    return claims


def _moment(claims: dict[str, Any], name: str) -> float:
    value = claims[name]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError("no time")
    return value
