"""What the routes of logins by identity providers share: the trips, and the cookie that binds one to its browser."""

from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request, Response

from libs.common.database.transaction import Row
from services.auth.api.shapes import doorway
from services.auth.store import providers
from services.auth.upstream.directory import Directory
from services.auth.upstream.trips import LIFE, Trips, Way

_COOKIE = "__Host-regent_upstream"


def trips(request: Request) -> Trips:
    """Return the trips for whoever asks."""
    runtime = request.app.state.runtime
    directory: Directory = runtime.extras["upstream"]
    return Trips(doorway(request), directory, runtime.settings.public_url)


def cookie_of(request: Request) -> str | None:
    """Return the cookie that binds trips to the browser."""
    return request.cookies.get(_COOKIE)


def bind(response: Response, way: Way) -> Response:
    """Give the browser the cookie of its trip."""
    flags: dict[str, Any] = {"path": "/", "secure": True, "httponly": True, "samesite": "lax"}
    response.set_cookie(_COOKIE, way.cookie, max_age=int(LIFE.total_seconds()), **flags)
    return response


async def offered(request: Request, tenant: UUID) -> Sequence[Row]:
    """Return the providers that people of a tenant may log in by."""
    async with doorway(request).acting(tenant, "anonymous") as tx:
        return await providers.enabled(tx)


async def buttons(request: Request, tenant: UUID, query: str | None = None) -> str:
    """Return links to a tenant's providers for a login page: one that goes on with a client's request, or to the account."""
    # links, not forms: the policy of a page binds where a form's answer may lead, and providers are anywhere
    asked = urlencode({"tenant": str(tenant)} if query is None else {"request": query})
    return "".join(_button(one, asked) for one in await offered(request, tenant))


def _button(provider: Row, query: str) -> str:
    href = escape(f"/oauth2/upstream/{provider['id']}?{query}")
    return f'<p><a class="button" href="{href}">Log in with {escape(provider["name"])}</a></p>'
