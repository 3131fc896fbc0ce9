"""What OAuth 2.1, PKCE (RFC 7636) and OpenID Connect say of texts, without I/O and without a clock."""

import base64
import re
from collections.abc import Iterable, Sequence
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from authlib.oauth2 import OAuth2Error

from services.auth.permissions import covers, exists

IDENTITY_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})
REDIRECTING = "authorization_code"
REFRESHING = "refresh_token"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
GRANT_TYPES = ("authorization_code", "client_credentials", "refresh_token", DEVICE)
UNPROVEN = 401
REQUEST_URI = "urn:ietf:params:oauth:request_uri:"

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")
_URI = re.compile(r"[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]{1,2000}")
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]*)?|\[[0-9A-Fa-f:.]+\](:[0-9]*)?")
"""What stands in a policy (CSP) of ours later; other characters could end it."""

_LOOPBACK = ("127.0.0.1", "::1")


class OAuthError(OAuth2Error):
    """An error of RFC 6749, 5.2 and 4.1.2.1; the description holds nothing that was sent."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(description, status_code=status, error=code)

    def get_headers(self) -> list[tuple[str, str]]:
        """Return the headers; with a challenge where a client has to prove who it is (RFC 6749, 5.2)."""
        headers: list[tuple[str, str]] = super().get_headers()
        return [*headers, ("WWW-Authenticate", 'Basic realm="regent"')] if self.status_code == UNPROVEN else headers


def is_challenge(text: str) -> bool:
    """Say whether a text can be an S256 challenge."""
    return _CHALLENGE.fullmatch(text) is not None


def half_url(digest: bytes) -> str:
    """Return bytes as base64url without padding."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def scope_names(text: str | None) -> frozenset[str]:
    """Return the names in a scope.

    Raises:
        OAuthError: it is malformed.
    """
    if not text:
        return frozenset()
    if not _SCOPE.fullmatch(text):
        raise OAuthError("invalid_scope", "the scope is malformed")
    return frozenset(text.split(" "))


def is_scope(name: str) -> bool:
    """Say whether a name means anything here."""
    return name in IDENTITY_SCOPES or exists(name)


def common(held: frozenset[str], wanted: Iterable[str]) -> frozenset[str]:
    """Return the permissions that are both held and wanted; either side may say `resource:*`."""
    asked = frozenset(wanted)
    return frozenset(name for name in asked if covers(held, name)) | {name for name in held if covers(asked, name)}


def permitted(held: frozenset[str], scope: Sequence[str] | None) -> frozenset[str]:
    """Return what a token under a grant carries: of its scope what is held, and what it says of identity."""
    if scope is None:
        return held
    return common(held, scope) | (IDENTITY_SCOPES & frozenset(scope))


def requested_scope(text: str | None, allowed: Sequence[str] | None) -> frozenset[str]:
    """Return the scope that a client asks for: all that it may ask for where it names none.

    Raises:
        OAuthError: it names what does not exist or what the client may not ask for.
    """
    wanted = scope_names(text)
    if "openid" in wanted:  # what is not understood is passed over (OpenID Connect Core, 3.1.2.1)
        wanted = frozenset(name for name in wanted if is_scope(name))
    if not wanted:
        return frozenset(allowed or ())
    may = None if allowed is None else frozenset(allowed)
    unknown = [name for name in wanted if not is_scope(name)]
    beyond = [name for name in wanted - IDENTITY_SCOPES if may is not None and not covers(may, name)]
    if unknown or beyond:
        raise OAuthError("invalid_scope", "the scope is not one that this client may ask for")
    return wanted


def redirect_fault(uri: str, *, public: bool) -> str | None:
    """Say why a URI cannot be registered, or None where it can."""
    if not _URI.fullmatch(uri):
        return "holds characters that have no place in it, or a fragment"
    try:
        parts = urlsplit(uri)
        odd = parts.username is not None or parts.port == 0
    except ValueError:
        odd = True
    if odd or (parts.netloc and not _HOST.fullmatch(parts.netloc)):
        return "cannot be read, or names a user, no port or no host"
    if (parts.scheme == "https" and parts.hostname) or is_loopback(parts):
        return None
    if public and _PRIVATE_SCHEME.fullmatch(parts.scheme) and not parts.netloc:
        return None
    return "is neither https, nor http on 127.0.0.1 or [::1], nor (for public clients) a private scheme like com.example.app:/"


def is_loopback(parts: SplitResult) -> bool:
    """Say whether a URI is plain HTTP to the same machine (RFC 8252, 7.3)."""
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


def redirect_fits(uri: str, registered: Sequence[str], *, public: bool) -> bool:
    """Say whether a URI is registered: the whole text, but for the port of a native client's loopback (RFC 8252)."""
    if uri in registered:
        return True
    if not public or not _URI.fullmatch(uri):
        return False
    return any(_same_but_port(uri, other) for other in registered)


def _same_but_port(uri: str, registered: str) -> bool:
    try:
        one, two = urlsplit(uri), urlsplit(registered)
        if one.port == 0 or not (is_loopback(one) and is_loopback(two)):
            return False
    except ValueError:
        return False
    return one.username is None and one._replace(netloc=one.hostname or "") == two._replace(netloc=two.hostname or "")


def with_parameters(uri: str, parameters: dict[str, str]) -> str:
    """Return a redirect URI with an answer in its query."""
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(parameters, quote_via=quote)}"


def form_target(uri: str) -> str:
    """Return the source expression (CSP) that lets a form's answer lead to a redirect URI."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or ":" in (parts.hostname or ""):
        return f"{parts.scheme}:"
    return f"{parts.scheme}://{parts.netloc}"
