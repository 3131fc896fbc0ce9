"""Client assertions (RFC 7523): a client signs that it is itself, for this issuer, for minutes, once."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import InvalidClientError
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from services.auth import opaque
from services.auth.core.bridge import wait
from services.auth.core.client import ASSERTED, Client
from services.auth.registration import ASSERTION_ALGORITHMS
from services.auth.store import flows

if TYPE_CHECKING:
    from services.auth.core.server import Server

KIND: str = JWTBearerClientAssertion.CLIENT_ASSERTION_TYPE
_LONGEST = timedelta(minutes=10)
_LEEWAY = timedelta(seconds=10)
_HEADER = {"alg", "kid", "typ"}
_TYPES = ("JWT", "client-authentication+jwt")
_MAX_TEXT = 8000
_MAX_ID = 300
_FAULTS = (JoseError, ValueError, TypeError, KeyError, OverflowError, OSError, AttributeError)


def claimed(assertion: str) -> tuple[str, str | None]:
    """Return whom an assertion says that it comes from, and which key it names, before anything of it is checked."""
    try:
        header, claims = JWTBearerClientAssertion().extract_assertion(assertion)
    except (InvalidClientError, *_FAULTS):
        return "", None
    subject, kid = claims.get("sub"), header.get("kid")
    return subject if isinstance(subject, str) else "", kid if isinstance(kid, str) else None


class ClientAssertion(JWTBearerClientAssertion):
    """Stricter than the core's: algorithms and header are named, and the issuer is the sole audience."""

    CLIENT_AUTH_METHOD = ASSERTED
    _identifier: tuple[bytes, datetime]

    def __init__(self, server: "Server") -> None:
        super().__init__(leeway=int(_LEEWAY.total_seconds()))
        self._server = server

    def __call__(self, query_client: Any, request: Any) -> Client | None:
        """Return the client that signed, or None where nobody says so.

        Raises:
            InvalidClientError: what is signed proves nothing, however odd it is, or was used before; no text is repeated.
        """
        try:
            found: Client | None = super().__call__(query_client, request)
        except _FAULTS as error:
            raise InvalidClientError from error
        if found is not None and not wait(flows.first_time(self._server.tx, *self._identifier)):
            raise InvalidClientError
        return found

    def resolve_client_public_key(self, client: Client) -> KeySet:
        """Return the keys that the client signs by.

        Raises:
            InvalidClientError: it does not sign.
        """
        if client.jwks is None:
            raise InvalidClientError
        return KeySet.import_key_set(client.jwks)  # type: ignore[arg-type]

    def process_assertion_claims(self, assertion: str, resolve_key: KeySet) -> dict[str, Any]:
        """Return what the client signed, by one of its keys and one of our algorithms."""
        header, _ = self.extract_assertion(assertion)
        if len(assertion) > _MAX_TEXT or set(header) - _HEADER or header.get("typ", "JWT") not in _TYPES:
            raise InvalidClientError
        keys = resolve_key.keys
        for key in [key for key in keys if len(keys) == 1 or header.get("kid") in (None, key.kid)]:
            try:
                claims = jwt.decode(assertion, key, algorithms=ASSERTION_ALGORITHMS).claims
            except _FAULTS:
                continue
            self.verify_claims(claims)
            return claims
        raise InvalidClientError

    def get_audiences(self) -> list[str]:
        """Return whom an assertion may be for."""
        return [self._server.issuer]

    def validate_jti(self, claims: dict[str, Any], jti: Any) -> bool:
        """Say whether claims that are sound are for us alone (rfc7523bis) and end within minutes, and keep their name."""
        now, ends = self._server.tx.context.now, datetime.fromtimestamp(claims["exp"], UTC)
        if claims["aud"] not in (self._server.issuer, self.get_audiences()) or not isinstance(jti, str):
            return False
        self._identifier = opaque.digest(f"assertion:{claims['sub']}:{jti}"), ends
        return now < ends <= now + _LONGEST + _LEEWAY and 0 < len(jti) <= _MAX_ID
