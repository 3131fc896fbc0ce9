"""What a client may do beside its roles, and when that makes sense (RFC 7591's rules, without its endpoint)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

from libs.common.errors import FieldProblem, Invalid
from libs.common.identity.verifier import ALGORITHM
from services.auth import protocol
from services.auth.protocol import DEVICE, GRANT_TYPES, REDIRECTING, REFRESHING

ASSERTION_ALGORITHMS = ("ES256", "PS256", "RS256", "EdDSA", "Ed25519")
_KEY_KINDS = ("EC", "RSA", "OKP")
_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class Registration:
    """How a client gets tokens; the defaults are those of a customer's system with a secret."""

    kind: str = "confidential"
    grant_types: Sequence[str] = ("client_credentials",)
    redirect_uris: Sequence[str] = ()
    scopes: Sequence[str] | None = None
    jwks: dict[str, Any] | None = None
    jwks_uri: str | None = None
    require_par: bool = False
    dpop: bool = False
    dpop_nonce: bool = False
    post_logout_redirect_uris: Sequence[str] = ()
    id_token_signed_response_alg: str = ALGORITHM

    @property
    def has_secret(self) -> bool:
        """Whether the client authenticates by a secret."""
        return self.kind == "confidential" and self.jwks is None and self.jwks_uri is None

    def values(self) -> dict[str, Any]:
        """Return the columns."""
        return {
            "kind": self.kind,
            "grant_types": list(self.grant_types),
            "redirect_uris": list(self.redirect_uris),
            "scopes": None if self.scopes is None else list(self.scopes),
            "jwks": self.jwks,
            "jwks_uri": self.jwks_uri,
            "require_par": self.require_par,
            "dpop": self.dpop,
            "dpop_nonce": self.dpop_nonce,
            "post_logout_redirect_uris": list(self.post_logout_redirect_uris),
            "id_token_signed_response_alg": self.id_token_signed_response_alg,
        }

    def require_sound(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            Invalid: names the fields.
        """
        faults = [FieldProblem(field, text) for field, text, wrong in self._checks() if wrong]
        for field in ("redirect_uris", "post_logout_redirect_uris"):
            for position, uri in enumerate(getattr(self, field)):
                fault = protocol.redirect_fault(uri, public=self.kind == "public")
                faults += [FieldProblem(f"/{field}/{position}", fault)] if fault else []
        faults += [FieldProblem("/jwks", fault)] if self.jwks and (fault := keys_fault(self.jwks)) else []
        if faults:
            raise Invalid("The client cannot be registered like this.", fields=faults)

    def _checks(self) -> list[tuple[str, str, bool]]:
        kinds, public = set(self.grant_types), self.kind == "public"
        people = bool(kinds & {REDIRECTING, DEVICE})
        unknown = [name for name in self.scopes or () if not protocol.is_scope(name)]
        return [
            ("/grant_types", "holds what is not one of " + ", ".join(GRANT_TYPES), bool(kinds - set(GRANT_TYPES))),
            ("/grant_types", "a public client has no credentials of its own", public and "client_credentials" in kinds),
            ("/grant_types", "refreshing needs a grant that a user gives", REFRESHING in kinds and not people),
            ("/redirect_uris", "is needed for authorization codes", REDIRECTING in kinds and not self.redirect_uris),
            ("/scopes", "is needed where users give grants", people and not self.scopes),
            ("/scopes", "holds what nothing asks for", bool(unknown)),
            ("/jwks", "a public client does not authenticate", public and self.jwks is not None),
            ("/jwks_uri", "a public client does not authenticate", public and self.jwks_uri is not None),
            ("/jwks_uri", "stands beside keys; give one of both", None not in (self.jwks, self.jwks_uri)),
            ("/jwks_uri", "is no https URL", self.jwks_uri is not None and not _is_web_address(self.jwks_uri)),
        ]


def _is_web_address(uri: str) -> bool:
    """Say whether a URL can be fetched over https; where it leads is judged each time that it is."""
    try:
        parts = urlsplit(uri)
        plain = parts.username is None and not parts.fragment and parts.port != 0
    except ValueError:
        return False
    return bool(plain and parts.scheme == "https" and parts.hostname and uri.isascii() and uri.isprintable())


def keys_fault(jwks: dict[str, Any]) -> str | None:
    """Say why a key set cannot authenticate a client, or None where it can."""
    members = jwks.get("keys")
    if not isinstance(members, list) or any(
        not isinstance(key, dict) or key.get("kty") not in _KEY_KINDS for key in members
    ):
        return "must hold public keys of kind EC, RSA or OKP, and nothing else"
    try:
        keys = KeySet.import_key_set(jwks).keys  # type: ignore[arg-type]
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return "is no key set (RFC 7517)"
    if not keys or any(key.is_private for key in keys):
        return "must hold public keys of kind EC, RSA or OKP, and nothing else"
    if any(isinstance(key, RSAKey) and key.public_key.key_size < _RSA_BITS for key in keys):
        return "holds an RSA key of less than 2048 bits"
    return None
