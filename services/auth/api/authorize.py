"""The authorization endpoint: a login and a consent page, and the answer to the client."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any

from authlib.oauth2 import OAuth2Error
from fastapi import Request, Response

from libs.common.errors import Refusal
from libs.common.http.door import OpenDoor
from services.auth import devices, domain
from services.auth.admission import Shown
from services.auth.api import browsers, entrance, forms, pages
from services.auth.api.entrance import Entrance
from services.auth.api.factor_forms import codes_form
from services.auth.api.ways import buttons
from services.auth.commands.browser import SESSION_PREFIX, Session
from services.auth.front import Opened, ToldError, after_login
from services.auth.opaque import Handle
from services.auth.protocol import OAuthError, form_target
from services.auth.second_step import SecondFactorRequired

ROUTER = OpenDoor("/oauth2", tag="oauth2")
HTML: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {}}, "description": "a page"}}
SEEN: dict[int | str, dict[str, Any]] = {303: {"description": "the browser goes on elsewhere"}}
_ASKED = forms.form_schema(["response_type", "redirect_uri", "code_challenge", "code_challenge_method"], **forms.ASKED)

_Endpoint = Callable[[Request], Awaitable[Response]]


def for_people(endpoint: _Endpoint) -> _Endpoint:
    """Answer what goes wrong with a page, or tell the client where that is safe."""

    @wraps(endpoint)
    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ToldError as told:
            return pages.see(told.location)
        except OAuth2Error as error:
            return pages.problem_page(error.description, error.status_code)
        except Refusal as refusal:
            return pages.problem_page(refusal.detail, refusal.status, pages.retry(refusal))

    return answered


@ROUTER.get("/authorize", name="authorize", responses=HTML, response_class=Response)
@for_people
async def authorize(request: Request) -> Response:
    """Ask the person at the browser whether a client may act for them (RFC 6749, 4.1.1; OpenID Connect)."""
    front = browsers.front(request)
    opened = await front.open(request.url.query)
    session = await front.session(opened, browsers.session_cookie(request))
    if front.must_log_in(opened.ask, session) or session is None:
        if "none" in opened.ask.prompt:
            raise ToldError(front.told(opened, OAuthError("login_required", "somebody has to log in")))
        return entrance.login_page(request, await _first(request, opened), email=opened.ask.login_hint)
    return await _consent(request, opened, session)


@ROUTER.post("/authorize", name="authorize_by_post", openapi_extra=_ASKED, responses=SEEN, response_class=Response)
@for_people
async def authorize_by_post(request: Request) -> Response:
    """Take the same request as a form (OpenID Connect Core, 3.1.2.1).

    Cookies do not come along with another site's form, so the browser asks again by GET, where they do.
    """
    query = await browsers.foreign_form(request)
    return pages.see(f"/oauth2/authorize?{query}")


@ROUTER.post("/login", name="browser_login", responses=HTML, response_class=Response)
@for_people
async def login(request: Request) -> Response:
    """Log a person in, in a browser, and go on with the client's request."""
    form = await browsers.own_form(request)
    browsers.require_login_token(request, form)
    front = browsers.front(request)
    opened = await front.open(form.get("request", ""))
    email = form.get("email", "")
    try:
        address = domain.normalise_email(email)
        before = browsers.session_cookie(request)
        shown = Shown(devices.presented(request), form.get("challenge"))
        cookie, session = await front.log_in(opened, address, form.get("password", ""), shown, before)
    except SecondFactorRequired as required:
        return await entrance.required_page(request, _entrance(opened), required)
    except Refusal as refusal:
        return entrance.login_page(request, await _first(request, opened), refusal, email)
    return await entered(request, opened, cookie, session, address)


@ROUTER.post("/second-factor", name="browser_second_factor", responses=HTML, response_class=Response)
@for_people
async def second_factor(request: Request) -> Response:
    """Complete a login by a code, a passkey, or a factor that is set up on the way in; go on with the client's request."""
    form = await browsers.own_form(request)
    browsers.require_login_token(request, form)
    front = browsers.front(request)
    opened = await front.open(form.get("request", ""))
    try:
        passed = await entrance.passed(request, form)
        cookie, session = await front.complete(opened, passed, browsers.session_cookie(request))
    except Refusal as refusal:
        return await entrance.again(request, _entrance(opened), form, refusal)
    return await entered(request, opened, cookie, session, passed.email, passed.recovery_codes)


@ROUTER.post("/continue", name="browser_continue", responses=HTML, response_class=Response)
@for_people
async def go_on(request: Request) -> Response:
    """Go on with the client's request after recovery codes were shown."""
    form = await browsers.own_form(request)
    front = browsers.front(request)
    opened = await front.open(form.get("request", ""))
    found = await front.session(opened, browsers.session_cookie(request))
    return await _consent(request, after_login(opened), browsers.require_session_token(request, found, form))


async def entered(
    request: Request,
    opened: Opened,
    cookie: Handle,
    session: Session,
    address: str | None = None,
    codes: Sequence[str] = (),
) -> Response:
    """Go on with a client's request after a login; `address` is whose browser this is known to be from now on."""
    way = browsers.front(request).way
    if codes:
        form = codes_form(codes, "/oauth2/continue", browsers.session_token(request, session, opened.query))
        leads_to = form_target(opened.ask.redirect_uri)
        response: Response = pages.page("Your recovery codes", form, leads_to=leads_to)
    else:
        response = await _after(request, after_login(opened), session)
    browsers.set_session(response, cookie)
    if address is None:
        return response
    return devices.remember(response, way.authority.throttle, address, way.context.now)


async def _after(request: Request, opened: Opened, session: Session) -> Response:
    """Ask for consent, or tell the client that somebody else came; they are logged in either way."""
    try:
        return await _consent(request, opened, session)
    except ToldError as told:
        return pages.see(told.location)


@ROUTER.post("/consent", name="consent", responses=HTML, response_class=Response)
@for_people
async def consent(request: Request) -> Response:
    """Take what the person decided and answer the client."""
    form = await browsers.own_form(request)
    front = browsers.front(request)
    opened = await front.open(form.get("request", ""))
    found = await front.session(opened, browsers.session_cookie(request))
    session = browsers.require_session_token(request, found, form)
    allowed = form.get("decision") == "allow"
    if allowed and front.has_waited(opened, session):
        return pages.see(f"/oauth2/authorize?{opened.query}")
    return pages.see(await front.decide(opened, session, "allowed" if allowed else "denied"))


@ROUTER.get("/logout", name="browser_logout_page", responses=HTML, response_class=Response)
@for_people
async def logout_page(request: Request) -> Response:
    """Ask whether to log out."""
    session = await anywhere(request)
    if session is None:
        return pages.page("You are logged out", pages.paragraph("This browser has no session here."))
    return pages.page("Log out", pages.logout_form(browsers.session_token(request, session, ""), session.email))


@ROUTER.post("/logout", name="browser_logout", responses=HTML, response_class=Response)
@for_people
async def logout(request: Request) -> Response:
    """End the browser's session, here and in the cookie."""
    form = await browsers.own_form(request)
    browsers.require_session_token(request, await anywhere(request), form)
    await browsers.front(request).log_out(browsers.session_cookie(request))
    query = form.get("request")
    done = pages.page("You are logged out", pages.paragraph("The session has ended."))
    response = pages.see(f"/oauth2/authorize?{query}") if query else done
    browsers.clear_session(response)
    return response


async def anywhere(request: Request) -> Session | None:
    """Return the browser's session, whatever its tenant."""
    handle = Handle.read(SESSION_PREFIX, browsers.session_cookie(request) or "")
    return await browsers.front(request).session_of(handle) if handle else None


async def _consent(request: Request, opened: Opened, session: Session) -> Response:
    """Ask for consent, unless it is there already."""
    front = browsers.front(request)
    front.require_meant(opened, session)
    if await front.agreed(opened, session):
        return pages.see(await front.decide(opened, session, "allowed"))
    if "none" in opened.ask.prompt:
        raise ToldError(front.told(opened, OAuthError("consent_required", "the user has to agree")))
    name, ask = opened.client["name"], opened.ask
    hidden = browsers.session_token(request, session, opened.query)
    wish = pages.Wish(name, session.email, ask.scope, ask.target.resource)
    form = pages.consent_form("/oauth2/consent", hidden, wish)
    return pages.page(f"Allow {name}?", form, leads_to=form_target(opened.ask.redirect_uri))


async def required_page(request: Request, opened: Opened, required: SecondFactorRequired) -> Response:
    """Ask for the second factor that a login to a client's tenant needs."""
    return await entrance.required_page(request, _entrance(opened), required)


async def _first(request: Request, opened: Opened) -> Entrance:
    return replace(_entrance(opened), more=await buttons(request, opened.client["tenant_id"], opened.query))


def _entrance(opened: Opened) -> Entrance:
    leads_to, name = form_target(opened.ask.redirect_uri), opened.client["name"]
    return Entrance("/oauth2/login", "/oauth2/second-factor", opened.query, leads_to, name)
