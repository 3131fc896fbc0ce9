"""Authorization requests (OAuth 2.1, 4.1.1; OpenID Connect Core, 3.1.2.1): read strictly, checked in a safe order.

Until the client and its redirect URI are known to be right, nothing is redirected anywhere.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from libs.common.database.transaction import Row
from services.auth import protocol, resources
from services.auth.protocol import REDIRECTING, OAuthError
from services.auth.resources import Target

PROMPTS = frozenset({"none", "login", "consent", "select_account"})
_MAX_FIELDS = 40
_MAX_HINT = 254
_MAX_TEXT = 2000
_MAX_QUERY = 16_000
_SECONDS = re.compile(r"[0-9]{1,9}")
_JKT = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What was sent: the values, and the names that were sent more than once."""

    values: Mapping[str, str]
    repeated: frozenset[str] = frozenset()

    @classmethod
    def read(cls, query: str) -> "Parameters":
        """Read a query string; empty parameters count as left out.

        Raises:
            OAuthError: it cannot be read.
        """
        if len(query) > _MAX_QUERY:
            raise OAuthError("invalid_request", "the request is too long")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
        except ValueError:
            raise OAuthError("invalid_request", "the request cannot be read") from None
        if any("\x00" in name or "\x00" in value for name, value in pairs):
            raise OAuthError("invalid_request", "the request cannot be read")
        names = [name for name, _ in pairs if name != resources.PARAMETER]
        repeated = frozenset(name for name in names if names.count(name) > 1)
        return cls(resources.joined(pairs), repeated)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that may be put to a user."""

    redirect_uri: str
    state: str | None
    scope: frozenset[str]
    challenge: str
    nonce: str | None
    prompt: frozenset[str]
    max_age: int | None
    jkt: str | None
    target: Target
    login_hint: str = ""
    """The address that the client believes that the person logs in with; it fills a field, no more."""
    hint: str | None = None
    """An ID token that says whom the client means."""
    subject: str | None = None
    """Whom it says, once it was read."""


def client_named(parameters: Parameters) -> str:
    """Return the client that a request names.

    Raises:
        OAuthError: none, or several.
    """
    if "client_id" in parameters.repeated or "client_id" not in parameters.values:
        raise OAuthError("invalid_request", "the request names no client")
    return parameters.values["client_id"]


def redirect_of(client: Row, parameters: Parameters) -> str:
    """Return where the answer goes.

    Raises:
        OAuthError: the URI is missing, repeated or not the client's; the answer must not go there.
    """
    uri = parameters.values.get("redirect_uri")
    if uri is None or "redirect_uri" in parameters.repeated:
        raise OAuthError("invalid_request", "the request names no redirect URI")
    if not protocol.redirect_fits(uri, client["redirect_uris"], public=client["kind"] == "public"):
        raise OAuthError("invalid_request", "the redirect URI is not one that the client registered")
    return uri


def checked(client: Row, parameters: Parameters, redirect_uri: str, issuer: str, *, pushed: bool) -> Ask:
    """Return what a request asks for; `pushed` says that it came by the client itself (RFC 9126).

    Raises:
        OAuthError: in the words of RFC 6749, 4.1.2.1, RFC 8707 and OpenID Connect, to be told to the client.
    """
    values = parameters.values
    _require_readable(parameters)
    if client["require_par"] and not pushed and "request_uri" not in values:
        raise OAuthError("invalid_request", "the client has to push its requests (RFC 9126)")
    if REDIRECTING not in client["grant_types"]:
        raise OAuthError("unauthorized_client", "the client is not registered for this")
    _require_supported(values)
    prompt = frozenset(values.get("prompt", "").split())
    if prompt - PROMPTS or ("none" in prompt and len(prompt) > 1):
        raise OAuthError("invalid_request", "prompt is none alone, or of login, consent, select_account")
    return Ask(
        redirect_uri=redirect_uri,
        state=values.get("state"),
        scope=_scope(client, values.get("scope")),
        challenge=values["code_challenge"],
        nonce=values.get("nonce"),
        prompt=prompt,
        max_age=int(values["max_age"]) if "max_age" in values else None,
        jkt=values.get("dpop_jkt"),
        target=Target.read(values, issuer),
        login_hint=values.get("login_hint", "")[:_MAX_HINT],
        hint=values.get("id_token_hint"),
    )


def _require_readable(parameters: Parameters) -> None:
    values = parameters.values
    if parameters.repeated:
        raise OAuthError("invalid_request", "a parameter is repeated")
    if len(values.get("nonce", "")) > _MAX_TEXT or len(values.get("state", "")) > _MAX_TEXT:
        raise OAuthError("invalid_request", "state and nonce have at most 2000 characters")
    if not _SECONDS.fullmatch(values.get("max_age", "0")) or not _JKT.fullmatch(values.get("dpop_jkt", "-" * 43)):
        raise OAuthError("invalid_request", "max_age or dpop_jkt is malformed")


def _require_supported(values: Mapping[str, str]) -> None:
    if "request" in values:
        raise OAuthError("request_not_supported", "send the parameters plainly, or push them (RFC 9126)")
    if "request_uri" in values:
        raise OAuthError("request_uri_not_supported", "a request_uri is one that was pushed (RFC 9126)")
    if "registration" in values:
        raise OAuthError("registration_not_supported", "clients are registered before")
    if "response_type" not in values:
        raise OAuthError("invalid_request", "response_type is missing")
    if values["response_type"] != "code":
        raise OAuthError("unsupported_response_type", "response_type is code")
    if values.get("response_mode", "query") != "query":
        raise OAuthError("invalid_request", "response_mode is query")
    if values.get("code_challenge_method") != "S256" or not protocol.is_challenge(values.get("code_challenge", "")):
        raise OAuthError("invalid_request", "send a code_challenge by S256 (RFC 7636)")


def _scope(client: Row, text: str | None) -> frozenset[str]:
    """Return the scope asked for; without refresh tokens there is no offline access to give."""
    scope = protocol.requested_scope(text, client["scopes"])
    return scope if protocol.REFRESHING in client["grant_types"] else scope - {"offline_access"}
