"""The cookie of a browser that its owner has logged in from: their own counter there, whatever strangers guess.

It says nothing else: it logs nobody in. Signed, bound to one address, half a year long.
"""

import hmac
import secrets
from datetime import datetime, timedelta

from fastapi import Request, Response

from services.auth.throttle import Throttle

COOKIE = "__Host-regent_device"
LIFE = timedelta(days=180)
_PARTS = 3


def known_device(throttle: Throttle, cookie: str | None, email: str, now: datetime) -> str | None:
    """Return the name of the browser, or None where the cookie is not ours, not this address's, or too old."""
    parts = (cookie or "").split(".")
    if len(parts) != _PARTS or not cookie or not cookie.isascii():
        return None
    name, issued, seal = parts
    if not hmac.compare_digest(_seal(throttle, name, issued, email), seal) or not issued.isdigit():
        return None
    return name if int(issued) + LIFE.total_seconds() > now.timestamp() else None


def new_device(throttle: Throttle, email: str, now: datetime) -> str:
    """Return the cookie's value for a browser from which somebody has just logged in."""
    name, issued = secrets.token_urlsafe(16), str(int(now.timestamp()))
    return f"{name}.{issued}.{_seal(throttle, name, issued, email)}"


def presented(request: Request) -> str | None:
    """Return the cookie that a request brings."""
    return request.cookies.get(COOKIE)


def remember(response: Response, throttle: Throttle, email: str, now: datetime) -> Response:
    """Give a browser its cookie, and return the response."""
    value = new_device(throttle, email, now)
    seconds = int(LIFE.total_seconds())
    response.set_cookie(COOKIE, value, max_age=seconds, secure=True, httponly=True, samesite="strict", path="/")
    return response


def _seal(throttle: Throttle, name: str, issued: str, email: str) -> str:
    return throttle.mark("known-device", f"{name}:{issued}:{email}").hex()
