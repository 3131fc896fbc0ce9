"""The authorization endpoint's requests (OAuth 2.1, 4.1.1; RFC 9126; OpenID Connect Core, 3.1.2.1), and codes for them.

Until the client and its redirect URI are known to be right, the core sends nobody anywhere; what is wrong after that is
told to the client.
"""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationCodeGrant
from authlib.oauth2.rfc9207 import IssuerParameter

from services.auth.commands import codes, standing
from services.auth.core.bridge import wait
from services.auth.core.client import Client
from services.auth.core.requests import Answer, Asked
from services.auth.core.tokens import CodeTokens
from services.auth.opaque import Handle
from services.auth.protocol import REDIRECTING, OAuthError, with_parameters
from services.auth.resources import Target

PROMPTS = ("none", "login", "consent", "select_account")
_MAX_TEXT = 2000
_SECONDS = re.compile(r"[0-9]{1,9}")
_JKT = re.compile(r"[A-Za-z0-9_-]{43}")


class Code(CodeTokens, AuthorizationCodeGrant):
    """The authorization code grant."""

    @classmethod
    def check_authorization_endpoint(cls, _: Asked) -> bool:
        """Take every request: `Strict` names a response type that does not exist, once client and URI are right.

        The core would do it before, and quote what was sent: odd characters end in a 500 then.
        """
        return True

    @staticmethod
    def validate_authorization_redirect_uri(request: Asked, client: Client) -> str:
        """Return where the answer goes; the core's refusal quotes what was sent."""
        uri: str | None = request.payload.redirect_uri
        if uri is None:
            raise OAuthError("invalid_request", "the request names no redirect URI")
        if not client.check_redirect_uri(uri):
            raise OAuthError("invalid_request", "the redirect URI is not one that the client registered")
        return uri

    @staticmethod
    def validate_no_multiple_request_parameter(request: Asked) -> None:
        """Refuse what leaves open where the answer goes; the core would tell nobody of the others, `Strict` the client."""
        if request.repeated & {"client_id", "redirect_uri"}:
            raise OAuthError("invalid_request", "the request names two clients or redirect URIs")

    def generate_authorization_code(self) -> str:
        """Return a code that names its tenant."""
        return Handle.make(codes.PREFIX, self.server.tx.tenant_id).text

    def save_authorization_code(self, code: str, request: Asked) -> None:
        """Keep what the person at the browser allowed."""
        sent = request.form
        asked = {
            "client_id": request.client.row["id"],
            "redirect_uri": sent["redirect_uri"],
            "challenge": sent["code_challenge"],
            "scope": sorted(request.scope.split()),
            "nonce": sent.get("nonce"),
            "jkt": sent.get("dpop_jkt"),
            "resource": self.server.target(request).resource,
        }
        wait(codes.give(self.server.tx, code, request.user, asked))


class Strict:
    """Refuses what the core passes over: each fault by the name that its standard has for it."""

    def __call__(self, grant: Code) -> None:
        """Check a request before its scope is."""
        grant.register_hook("before_validate_authorization_request_payload", self.check)

    def check(self, grant: Code, _: str) -> None:
        """Refuse a request that is not to be put to a user.

        Raises:
            OAuthError: in the words of RFC 6749, 4.1.2.1, RFC 8707 and OpenID Connect, told to the client.
        """
        request, client = grant.request, grant.request.client.row
        wait(standing.require_answered_for(grant.server.tx, client))
        _require_readable(request)
        if client["require_par"] and not grant.server.pushed and "request_uri" not in request.form:
            raise OAuthError("invalid_request", "the client has to push its requests (RFC 9126)")
        if REDIRECTING not in client["grant_types"]:
            raise OAuthError("unauthorized_client", "the client is not registered for this")
        _require_supported(request.form)
        prompt = frozenset(request.form.get("prompt", "").split())
        if prompt - set(PROMPTS) or ("none" in prompt and len(prompt) > 1):
            raise OAuthError("invalid_request", "prompt is none alone, or of login, consent, select_account")
        Target.read(request.form, grant.server.issuer)


def _require_readable(request: Asked) -> None:
    sent = request.form
    if request.repeated:
        raise OAuthError("invalid_request", "a parameter is repeated")
    if len(sent.get("nonce", "")) > _MAX_TEXT or len(sent.get("state", "")) > _MAX_TEXT:
        raise OAuthError("invalid_request", "state and nonce have at most 2000 characters")
    if not _SECONDS.fullmatch(sent.get("max_age", "0")) or not _JKT.fullmatch(sent.get("dpop_jkt", "-" * 43)):
        raise OAuthError("invalid_request", "max_age or dpop_jkt is malformed")


def _require_supported(sent: Mapping[str, str]) -> None:
    if "request" in sent:
        raise OAuthError("request_not_supported", "send the parameters plainly, or push them (RFC 9126)")
    if "request_uri" in sent:
        raise OAuthError("request_uri_not_supported", "a request_uri is one that was pushed (RFC 9126)")
    if "registration" in sent:
        raise OAuthError("registration_not_supported", "clients are registered before")
    if "response_type" not in sent:
        raise OAuthError("invalid_request", "response_type is missing")
    if sent["response_type"] != "code":
        raise OAuthError("unsupported_response_type", "response_type is code")
    if sent.get("response_mode", "query") != "query":
        raise OAuthError("invalid_request", "response_mode is query")


class Issuer(IssuerParameter):
    """Names who answers (RFC 9207)."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    def get_issuer(self) -> str:
        """Return the issuer."""
        return self._issuer


def told(error: OAuth2Error, issuer: str) -> str:
    """Return where a browser goes to tell the client of an error that knows its redirect URI and state."""
    status, content, headers = error()
    answer = Answer(status, content, {}, dict(headers)["Location"])
    Issuer(issuer).add_issuer_parameter(None, answer)
    return behind(error.redirect_uri, answer.location or "")


def behind(uri: str, location: str) -> str:
    """Return an answer behind a redirect URI as it was registered: its own query stays as it is (RFC 6749, 3.1.2).

    The core encodes all of the query anew.
    """
    kept = parse_qsl(urlsplit(uri).query, keep_blank_values=True)
    said = parse_qsl(urlsplit(location).query, keep_blank_values=True)[len(kept) :]
    return with_parameters(uri, dict(said))
