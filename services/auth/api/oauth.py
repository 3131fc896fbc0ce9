"""The token endpoint (RFC 6749): form in, JSON out, errors in its own words."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from fastapi import Request, Response

from libs.common.errors import Refusal
from libs.common.http.door import OpenDoor
from services.auth.api.shapes import NO_STORE, answer, doorway, token_answer
from services.auth.doorway import Doorway, Tokens

ROUTER = OpenDoor("/oauth2", tag="oauth2")
GRANT_TYPES = ("client_credentials", "refresh_token")
_MAX_FIELDS = 30
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": list(GRANT_TYPES)},
                        "client_id": {"type": "string"},
                        "client_secret": {"type": "string", "format": "password"},
                        "refresh_token": {"type": "string"},
                        "scope": {"type": "string", "description": "permissions separated by spaces"},
                    },
                }
            }
        },
    }
}


class OAuthError(Exception):
    """An error of RFC 6749, 5.2."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.description = description
        self.status = status


@dataclass(frozen=True, slots=True)
class Credentials:
    """A client's id and secret, by exactly one method."""

    client_id: str
    secret: str


@ROUTER.post("/token", name="token", openapi_extra=_FORM)
async def token(request: Request) -> Response:
    """Exchange a client's credentials or a refresh token for an access token."""
    try:
        form = await _form(request)
        tokens = await _tokens(doorway(request), form, _credentials(request, form))
    except OAuthError as error:
        return _error(request, error)
    except Refusal as refusal:
        return _refused(refusal)
    return token_answer(tokens)


async def _tokens(way: Doorway, form: dict[str, str], credentials: Credentials | None) -> Tokens:
    kind = form.get("grant_type")
    if kind is None:
        raise OAuthError("invalid_request", "grant_type is missing")
    if kind not in GRANT_TYPES:
        raise OAuthError("unsupported_grant_type", f"grant_type is one of {', '.join(GRANT_TYPES)}")
    if kind == "refresh_token":
        return await _refresh(way, form, credentials)
    if credentials is None:
        raise OAuthError("invalid_client", "the client has to authenticate", 401)
    tokens = await way.client_credentials(credentials.client_id, credentials.secret, form.get("scope"))
    if tokens is None:
        raise OAuthError("invalid_client", "the client is unknown or its secret is wrong", 401)
    return tokens


async def _refresh(way: Doorway, form: dict[str, str], credentials: Credentials | None) -> Tokens:
    """Refresh a person's login; no client's grant has refresh tokens."""
    if "refresh_token" not in form:
        raise OAuthError("invalid_request", "refresh_token is missing")
    tokens = None if credentials else await way.refresh(form["refresh_token"], form.get("scope"))
    if tokens is None:
        raise OAuthError("invalid_grant", "the refresh token is unknown, used, expired or revoked")
    return tokens


async def _form(request: Request) -> dict[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "send the parameters as application/x-www-form-urlencoded")
    if request.url.query:
        raise OAuthError("invalid_request", "send the parameters in the body, not in the URL")
    try:
        pairs = parse_qsl((await request.body()).decode(), errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise OAuthError("invalid_request", "the body cannot be read") from None
    if len({name for name, _ in pairs}) != len(pairs):
        raise OAuthError("invalid_request", "a parameter is repeated")
    return dict(pairs)


def _credentials(request: Request, form: dict[str, str]) -> Credentials | None:
    """Return the client's credentials: client_secret_basic or client_secret_post, never both."""
    headers = request.headers.getlist("authorization")
    if (headers and "client_secret" in form) or len(headers) > 1:
        raise OAuthError("invalid_request", "use one way to authenticate the client")
    if headers:
        basic = _basic(headers[0])
        if form.get("client_id", basic.client_id) != basic.client_id:
            raise OAuthError("invalid_request", "the client is named twice, differently")
        return basic
    if "client_id" in form or "client_secret" in form:
        return Credentials(form.get("client_id", ""), form.get("client_secret", ""))
    return None


def _basic(header: str) -> Credentials:
    """Read RFC 6749, 2.3.1: both parts are form-encoded before they are joined."""
    scheme, _, value = header.partition(" ")
    try:
        client_id, colon, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if scheme.lower() != "basic" or not colon:
        raise OAuthError("invalid_client", "the client has to authenticate", 401)
    return Credentials(unquote_plus(client_id), unquote_plus(secret))


def _error(request: Request, error: OAuthError) -> Response:
    headers = dict(NO_STORE)
    if error.status == 401 and "authorization" in request.headers:  # noqa: PLR2004 - RFC 6749, 5.2
        headers["WWW-Authenticate"] = 'Basic realm="regent"'
    return answer({"error": error.code, "error_description": error.description}, error.status, headers)


def _refused(refusal: Refusal) -> Response:
    headers = dict(NO_STORE)
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if refusal.kind == "invalid_scope":
        return answer({"error": "invalid_scope", "error_description": refusal.detail}, 400, headers)
    return answer({"error": "temporarily_unavailable", "error_description": refusal.detail}, refusal.status, headers)
