"""What browsers bring and take: cookies of this origin alone, and forms that only our own pages could send."""

import hmac
import re
import secrets
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import Request, Response

from libs.common.errors import Refusal
from services.auth.admission import ACTION
from services.auth.api.forms import read_form
from services.auth.api.shapes import doorway
from services.auth.authority import authority
from services.auth.commands.browser import SESSION_LIFE, Session
from services.auth.front import Front
from services.auth.opaque import Handle
from services.auth.protocol import OAuthError

_LONGEST = 16_000
_QUERY = re.compile(rb"[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*")
_SESSION = "__Host-regent_session"
_LOGIN = "__Host-regent_login"
_REJECTED = "The form is too old or came from elsewhere; go back and start again."


def front(request: Request) -> Front:
    """Return the front for whoever asks."""
    return Front(doorway(request), request.app.state.runtime.settings.public_url)


def session_cookie(request: Request) -> str | None:
    """Return the session's cookie."""
    return request.cookies.get(_SESSION)


def set_session(response: Response, cookie: Handle) -> None:
    """Give the browser its session."""
    _set(response, _SESSION, cookie.text, int(SESSION_LIFE.total_seconds()))


def clear_session(response: Response) -> None:
    """Take the session's cookie from the browser."""
    _set(response, _SESSION, "", 0)


def login_token(request: Request, query: str) -> tuple[dict[str, str], str]:
    """Return a login form's hidden fields, and the cookie without which they mean nothing."""
    cookie = request.cookies.get(_LOGIN) or secrets.token_urlsafe(32)
    return {"request": query, "token": _token(request, f"login:{cookie}", query)}, cookie


def set_login(response: Response, cookie: str) -> None:
    """Give the browser the cookie of its login form."""
    _set(response, _LOGIN, cookie, 3600)


def session_token(request: Request, session: Session, query: str) -> dict[str, str]:
    """Return the hidden fields of a form that only this session may send."""
    return {"request": query, "token": _token(request, f"session:{session.digest.hex()}", query)}


def challenge_for(request: Request, refusal: Refusal | None) -> dict[str, Any] | None:
    """Return the challenge that a refusal asks to be solved with the next try, or None where it asks for none."""
    asked = parse_qs(urlsplit(str(refusal.extra.get("challenge", ""))).query) if refusal else {}
    if "account" not in asked:
        return None
    return authority(request).challenges.make(ACTION, asked["account"][0], doorway(request).context.now)


async def own_form(request: Request) -> dict[str, str]:
    """Read a form that a page of ours sent; what other sites send is refused.

    Raises:
        OAuthError: it comes from elsewhere, or cannot be read.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    own = request.app.state.runtime.settings.public_url
    # browsers say `null` for our own forms where no referrer is sent; the token decides then
    if origin not in (None, "null", own) or site not in (None, "same-origin"):
        raise OAuthError("access_denied", _REJECTED, 403)
    return await read_form(request)


async def foreign_form(request: Request) -> str:
    """Return a form that another site's page may have sent, as a query.

    Raises:
        OAuthError: it is no form, or it is too long for a query.
    """
    if request.url.query:
        raise OAuthError("invalid_request", "send the parameters in the body, not in the URL")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if kind != "application/x-www-form-urlencoded" or len(body) > _LONGEST or not _QUERY.fullmatch(body):
        raise OAuthError("invalid_request", "send the parameters as application/x-www-form-urlencoded")
    return body.decode()


def require_login_token(request: Request, form: dict[str, str]) -> None:
    """Refuse a login form that this browser was not given.

    Raises:
        OAuthError: it was not.
    """
    cookie = request.cookies.get(_LOGIN)
    _require(form, _token(request, f"login:{cookie}", form.get("request", "")) if cookie else None)


def require_session_token(request: Request, session: Session | None, form: dict[str, str]) -> Session:
    """Refuse a form that this session was not given.

    Raises:
        OAuthError: it was not.
    """
    query = form.get("request", "")
    _require(form, _token(request, f"session:{session.digest.hex()}", query) if session else None)
    if session is None:
        raise OAuthError("access_denied", _REJECTED, 403)
    return session


def _require(form: dict[str, str], expected: str | None) -> None:
    if expected is None or not hmac.compare_digest(form.get("token", "").encode(), expected.encode()):
        raise OAuthError("access_denied", _REJECTED, 403)


def _token(request: Request, owner: str, query: str) -> str:
    return authority(request).throttle.mark("form", f"{owner}\n{query}").hex()


def _set(response: Response, name: str, value: str, seconds: int) -> None:
    flags: dict[str, Any] = {"path": "/", "secure": True, "httponly": True, "samesite": "lax"}
    response.set_cookie(name, value, max_age=seconds, **flags)
