"""Login by a tenant's identity provider, in a browser: there and back."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import wraps
from uuid import UUID

from fastapi import Request, Response

from libs.common.http.door import OpenDoor
from services.auth.api import authorize, browsers, entrance, pages
from services.auth.api.authorize import for_people
from services.auth.api.own_identities import ENTRANCE
from services.auth.api.ways import bind, cookie_of, trips
from services.auth.asking import Ask
from services.auth.desk import as_uuid
from services.auth.front import Opened
from services.auth.protocol import OAuthError
from services.auth.second_step import SecondFactorRequired
from services.auth.upstream.arrivals import Arrivals
from services.auth.upstream.trips import Back

ROUTER = OpenDoor("/oauth2/upstream", tag="oauth2")
_Endpoint = Callable[[Request, UUID], Awaitable[Response]]
_LEEWAY = timedelta(seconds=30)
_HINT = "You can close this page."
_ACCOUNT = "account"
"""In place of a client's request, which is never this: the login goes on to the person's own account."""


def _at(endpoint: _Endpoint) -> _Endpoint:
    """Answer what goes wrong at a provider's routes with a page."""

    @wraps(endpoint)
    async def answered(request: Request, id: UUID) -> Response:  # noqa: A002
        async def asked(request: Request) -> Response:
            return await endpoint(request, id)

        return await for_people(asked)(request)

    return answered


@ROUTER.get("/{id}", name="begin_upstream_login", include_in_schema=False)
@_at
async def begin(request: Request, id: UUID) -> Response:  # noqa: A002
    """Send the browser from our login page to a provider of the tenant whose client asks, or whose page it is."""
    if request.headers.get("sec-fetch-site") not in (None, "same-origin", "none"):
        raise OAuthError("access_denied", "Begin on the login page.", 403)
    if "tenant" in request.query_params:
        tenant = as_uuid(request.query_params["tenant"])
        way = await trips(request).begin(tenant, id, cookie_of(request), purpose="login", query=_ACCOUNT)
        return bind(pages.see(way.location), way)
    opened = await browsers.front(request).open(request.query_params.get("request", ""))
    way = await trips(request).begin(
        opened.client["tenant_id"],
        id,
        cookie_of(request),
        _as_strict(opened.ask),
        purpose="login",
        query=opened.query,
    )
    return bind(pages.see(way.location), way)


@ROUTER.get("/{id}/callback", name="end_upstream_login", include_in_schema=False)
@_at
async def end(request: Request, id: UUID) -> Response:  # noqa: A002
    """Take the browser back from a provider: log in, link or join, as it was begun."""
    back = await trips(request).finish(id, request.url.query, cookie_of(request))
    arrivals = Arrivals(trips(request))
    if back.trip["query"] == _ACCOUNT:
        return await _to_account(request, arrivals, back)
    if back.trip["purpose"] == "login":
        return await _log_in(request, arrivals, back)
    if back.trip["purpose"] == "link":
        await arrivals.link(back)
        text = f"From now on you can log in with {back.provider['name']}. {_HINT}"
        return pages.page("Linked", pages.paragraph(text))
    tenant = await arrivals.join(back)
    return pages.page("Welcome", pages.paragraph(f"You have joined {tenant}. Log in with {back.provider['name']}."))


async def _log_in(request: Request, arrivals: Arrivals, back: Back) -> Response:
    front = browsers.front(request)
    opened = await front.open(back.trip["query"])
    if opened.client["tenant_id"] != back.tenant:
        raise OAuthError("access_denied", "the login was for somebody else", 403)
    await _require_recent(arrivals, back, opened)
    try:
        known = await arrivals.log_in(back)
    except SecondFactorRequired as required:
        return await authorize.required_page(request, opened, required)
    before = browsers.session_cookie(request)
    cookie, session = await front.enter(known.tenant, known.user, before, known.amr, known.upstream_id)
    return await authorize.entered(request, opened, cookie, session)


async def _to_account(request: Request, arrivals: Arrivals, back: Back) -> Response:
    try:
        known = await arrivals.log_in(back)
    except SecondFactorRequired as required:
        return await entrance.required_page(request, ENTRANCE, required)
    before = browsers.session_cookie(request)
    cookie, _ = await browsers.front(request).enter(known.tenant, known.user, before, known.amr, known.upstream_id)
    response = pages.see("/account")
    browsers.set_session(response, cookie)
    return response


def _as_strict(ask: Ask) -> dict[str, str]:
    """Return what asks the provider for a login as recent as the client wants it."""
    wishes = " ".join(sorted(ask.prompt & {"login", "select_account"}))
    age = {} if ask.max_age is None else {"max_age": str(ask.max_age)}
    return {**({"prompt": wishes} if wishes else {}), **age}


async def _require_recent(arrivals: Arrivals, back: Back, opened: Opened) -> None:
    """Refuse a login at the provider that is older than the client wants it."""
    if opened.ask.max_age is None:
        return
    at, now = back.arrived.auth_time, arrivals.way.context.now
    if at is None or now - at > timedelta(seconds=opened.ask.max_age) + _LEEWAY:
        await arrivals.trips.refuse(
            back.tenant, "auth_time", "Your identity provider did not ask for your login again."
        )
