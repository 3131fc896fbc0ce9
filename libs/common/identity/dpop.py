"""Proofs of possession (RFC 9449): whoever sends a token shows the key that it was given to."""

import base64
import hashlib
import hmac
import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, RSAKey

ALGORITHMS = ("ES256", "PS256", "RS256", "EdDSA", "Ed25519")
_HEADER, _MORE = {"typ", "alg", "jwk"}, {"kid"}
_KINDS = ("EC", "RSA", "OKP")
_RSA_BITS = 2048
_AGE = timedelta(seconds=60)
_MAX_TEXT = 8000
_MAX_ID = 300
_REMEMBERED = 100_000
_PORTS = {"https": 443, "http": 80}
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")


class _Registry(jws.JWSRegistry):
    """The header holds the key: those of RSA are longer than the library's limit of 512 bytes."""

    max_header_length = 4096


_REGISTRY = _Registry(algorithms=list(ALGORITHMS))


class BadProofError(Exception):
    """A proof is malformed, for something else, or too old."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that holds: the key's thumbprint (RFC 7638), the proof's id, and when it means nothing any more."""

    jkt: str
    identifier: str
    until: datetime
    nonce: str | None = None
    """The server's nonce that the proof repeats, if it does."""


def read_proof(text: str, method: str, url: str, now: datetime, *, token: str | None = None) -> Proof:
    """Check a proof for a request; `url` is without query, `token` the access token that comes with it.

    Raises:
        BadProofError: it does not hold.
    """
    try:
        key, claims = _signed(text)
        issued = datetime.fromtimestamp(_moment(claims["iat"]), UTC)
        jkt, meant = key.thumbprint(), _bare(claims["htu"])
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError) as error:
        raise BadProofError("the proof is malformed") from error
    identifier = claims.get("jti")
    if not isinstance(identifier, str) or not 0 < len(identifier) <= _MAX_ID:
        raise BadProofError("the proof has no id")
    if claims.get("htm") != method or meant != _bare(url):
        raise BadProofError("the proof is for another request")
    if abs(now - issued) > _AGE:
        raise BadProofError("the proof is not of this minute")
    if token is not None and not hmac.compare_digest(str(claims.get("ath", "")).encode(), _hash(token).encode()):
        raise BadProofError("the proof is for another token")
    nonce = claims.get("nonce")
    if nonce is not None and not isinstance(nonce, str):
        raise BadProofError("the proof's nonce is none")
    return Proof(jkt, identifier, issued + 2 * _AGE, nonce)


class SeenProofs:
    """Remembers this process's proofs for as long as they hold, so that none is taken twice here."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], datetime] = OrderedDict()

    def first_time(self, proof: Proof, now: datetime) -> bool:
        """Note a proof; false where it was noted before."""
        while self._seen and (len(self._seen) >= _REMEMBERED or next(iter(self._seen.values())) < now):
            self._seen.popitem(last=False)
        if (proof.jkt, proof.identifier) in self._seen:
            return False
        self._seen[proof.jkt, proof.identifier] = proof.until
        return True


def _signed(text: str) -> tuple[Any, dict[str, Any]]:
    if len(text) > _MAX_TEXT:
        raise ValueError("too long")
    header = jws.extract_compact(text.encode(), registry=_REGISTRY).headers()
    jwk = header["jwk"]
    if set(header) - _MORE != _HEADER or header["typ"] != "dpop+jwt" or header["alg"] not in ALGORITHMS:
        raise ValueError("another header than a proof's")
    if not isinstance(jwk, dict) or jwk.get("kty") not in _KINDS or "d" in jwk:
        raise ValueError("no public key")
    key = JWKRegistry.import_key(jwk)
    if isinstance(key, RSAKey) and key.public_key.key_size < _RSA_BITS:
        raise ValueError("too short a key (RFC 7518, 3.3)")
    claims = orjson.loads(jws.deserialize_compact(text, key, registry=_REGISTRY).payload)
    if not isinstance(claims, dict):
        raise TypeError("no claims")
    return key, claims


def _bare(url: Any) -> str:
    """Return a URL as they are compared: normalised by syntax and scheme (RFC 3986, 6.2), without query and fragment."""
    parts = urlsplit(url if isinstance(url, str) else "")
    port = "" if parts.port in (None, _PORTS.get(parts.scheme)) else f":{parts.port}"
    path = _ESCAPED.sub(_normal, parts.path) or "/"
    return f"{parts.scheme}://{parts.hostname}{port}{path}"


def _normal(escaped: re.Match[str]) -> str:
    letter = chr(int(escaped[0][1:], 16))
    return letter if letter.isascii() and (letter.isalnum() or letter in "-._~") else escaped[0].upper()


def _moment(value: Any) -> float:
    """Read a NumericDate (RFC 7519, 2), which may have a fraction."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError("no time")
    return value


def _hash(token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
