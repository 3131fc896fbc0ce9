"""ID tokens of an identity provider (OpenID Connect Core, 3.1.3.7): everything is checked, nothing is assumed."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, RSAKey

from services.auth.protocol import half_url

ALGORITHMS = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512", "EdDSA", "Ed25519")
"""What we take, all of them asymmetric: a secret that the provider shares with us signs nothing."""

_KINDS = {"ES": "EC", "PS": "RSA", "RS": "RSA", "Ed": "OKP"}
_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}
_HEADER = {"alg", "kid", "typ", "x5t", "x5t#S256"}
_RSA_BITS = 2048
_LEEWAY = timedelta(seconds=30)
_MAX_AGE = timedelta(minutes=15)
_MAX_TEXT = 20_000
_MAX_SUBJECT = 255


class BadIdTokenError(Exception):
    """The token proves nothing; the text says which check failed and holds nothing of the token."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token has to be: whose, for whom, for which login, beside which access token."""

    issuer: str
    client_id: str
    nonce: str
    algorithms: Sequence[str]
    access_token: str


def key_id(token: str) -> str | None:
    """Return the `kid` that a token names, before anything of it is checked.

    Raises:
        BadIdTokenError: it cannot be read.
    """
    kid = _header(token).get("kid")
    return kid if isinstance(kid, str) else None


def verified(token: str, keys: Sequence[Mapping[str, Any]], expected: Expected, now: datetime) -> dict[str, Any]:
    """Return the claims of a token.

    Raises:
        BadIdTokenError: names the check that failed.
    """
    header = _header(token)
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS or algorithm not in expected.algorithms:
        raise BadIdTokenError("alg")
    if set(header) - _HEADER or str(header.get("typ", "JWT")).upper() != "JWT":
        raise BadIdTokenError("header")
    try:
        key = _key(keys, header.get("kid"), algorithm)
        claims = orjson.loads(jws.deserialize_compact(token, key, algorithms=[algorithm]).payload)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise BadIdTokenError("signature") from None
    if not isinstance(claims, dict):
        raise BadIdTokenError("claims")
    _require_ours(claims, expected)
    _require_timely(claims, now)
    _require_beside(claims, expected.access_token, algorithm)
    return claims


def _header(token: str) -> dict[str, Any]:
    if len(token) > _MAX_TEXT:
        raise BadIdTokenError("length")
    try:
        return dict(jws.extract_compact(token.encode()).headers())
    except (JoseError, ValueError, TypeError, AttributeError):
        raise BadIdTokenError("form") from None


def _key(keys: Sequence[Mapping[str, Any]], kid: Any, algorithm: str) -> Key:
    """Return the one key that may have signed; without a `kid` only where there is no choice."""
    kind = _KINDS[algorithm[:2]]
    fitting = [
        one
        for one in keys
        if one.get("kty") == kind
        and one.get("use", "sig") == "sig"
        and one.get("alg", algorithm) == algorithm
        and (kid is None or one.get("kid") == kid)
    ]
    if len(fitting) != 1:
        raise BadIdTokenError("kid")
    key: Key = JWKRegistry.import_key(dict(fitting[0]))
    if isinstance(key, RSAKey) and key.public_key.key_size < _RSA_BITS:
        raise BadIdTokenError("key")
    return key


def _require_ours(claims: dict[str, Any], expected: Expected) -> None:
    audience, subject = claims.get("aud"), claims.get("sub")
    audiences = audience if isinstance(audience, list) else [audience]
    several = len(audiences) > 1
    checks = {
        "iss": claims.get("iss") == expected.issuer,
        "aud": expected.client_id in audiences,
        "azp": claims.get("azp", None if several else expected.client_id) == expected.client_id,
        "nonce": hmac.compare_digest(str(claims.get("nonce", "")).encode(), expected.nonce.encode()),
        "sub": isinstance(subject, str) and 0 < len(subject) <= _MAX_SUBJECT and "\x00" not in subject,
    }
    for name, holds in checks.items():
        if not holds:
            raise BadIdTokenError(name)


def _require_timely(claims: dict[str, Any], now: datetime) -> None:
    if moment(claims, "exp") + _LEEWAY <= now:
        raise BadIdTokenError("exp")
    if not now - _MAX_AGE <= moment(claims, "iat") <= now + _LEEWAY:
        raise BadIdTokenError("iat")
    if "nbf" in claims and moment(claims, "nbf") > now + _LEEWAY:
        raise BadIdTokenError("nbf")


def moment(claims: Mapping[str, Any], name: str) -> datetime:
    """Return a claim that is a time.

    Raises:
        BadIdTokenError: it is missing or none.
    """
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadIdTokenError(name)
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise BadIdTokenError(name) from None


def _require_beside(claims: dict[str, Any], access_token: str, algorithm: str) -> None:
    """Check that the access token came with this ID token, where it says so (3.1.3.8)."""
    if "at_hash" not in claims:
        return
    digest = _HASHES.get(algorithm[2:], hashlib.sha512)(access_token.encode()).digest()
    if not hmac.compare_digest(str(claims["at_hash"]).encode(), half_url(digest[: len(digest) // 2]).encode()):
        raise BadIdTokenError("at_hash")
