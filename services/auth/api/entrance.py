"""The pages on which people log in, in one step or two, and set a second factor up where their tenant asks for one."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from fastapi import Request, Response

from libs.common.errors import Refusal
from services.auth import authentication, devices, domain
from services.auth.admission import Shown
from services.auth.api import browsers, pages
from services.auth.api.factor_forms import app_form, codes_link, factor_form, passkey_form
from services.auth.api.shapes import doorway
from services.auth.desk import as_uuid
from services.auth.second_step import Offer, Passed, SecondFactorRequired

_APP = "Authenticator"
_WHY = "Your organisation asks for a second factor at every login. Set one up now; until then nothing is opened."


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where the forms of a login go, what they are bound to, and for whom somebody logs in."""

    first: str
    second: str
    query: str
    leads_to: str = ""
    client: str = ""
    more: str = ""
    """Other ways in than a password, as they stand on the page."""


def login_page(request: Request, entrance: Entrance, refusal: Refusal | None = None, email: str = "") -> Response:
    """Return the page for address and password."""
    hidden, cookie = browsers.login_token(request, entrance.query)
    tenants = refusal.extra.get("tenants", []) if refusal else []
    form = pages.login_form(
        entrance.first,
        hidden,
        client=entrance.client,
        email=email,
        problem=refusal.detail if refusal else None,
        tenants={str(one["id"]): one["name"] for one in tenants},
        challenge=browsers.challenge_for(request, refusal),
    )
    return _page(entrance, "Log in", form + entrance.more, refusal, cookie)


async def required_page(request: Request, entrance: Entrance, required: SecondFactorRequired) -> Response:
    """Return the page for the second step that a proven password has left pending."""
    return await _factor_page(request, entrance, required.token, required.methods, None)


async def again(request: Request, entrance: Entrance, form: dict[str, str], refusal: Refusal) -> Response:
    """Return the page after a second step that was refused: the same once more, or the first where it is too late."""
    pending = form.get("pending", "")
    methods = await doorway(request).second_step.methods(pending)
    if methods is None:
        return login_page(request, entrance, refusal)
    shown = as_uuid(form["app"]) if "app" in form else None
    return await _factor_page(request, entrance, pending, methods, refusal, shown)


async def log_in(request: Request, entrance: Entrance, form: dict[str, str]) -> Passed | Response:
    """Take one step of a login: returns who passed, or the page that comes next."""
    email, tenant = form.get("email", ""), form.get("tenant", "")
    try:
        if "pending" in form:
            return await passed(request, form)
        address = domain.normalise_email(email)
        chosen = as_uuid(tenant) if tenant else None
        shown = Shown(devices.presented(request), form.get("challenge"))
        found, user = await doorway(request).prove(address, form.get("password", ""), chosen, shown)
    except SecondFactorRequired as required:
        return await required_page(request, entrance, required)
    except Refusal as refusal:
        if "pending" in form:
            return await again(request, entrance, form, refusal)
        return login_page(request, entrance, refusal, email)
    return Passed(found, user, address, [], authentication.methods())


async def admit(request: Request, who: Passed, onward: str) -> Response:
    """Open a browser's session for who passed; recovery codes are shown before they go onward."""
    front = browsers.front(request)
    cookie, _ = await front.enter(who.tenant, who.user, browsers.session_cookie(request), who.amr, who.upstream_id)
    if who.recovery_codes:
        response: Response = pages.page("Your recovery codes", codes_link(who.recovery_codes, onward))
    else:
        response = pages.see(onward)
    browsers.set_session(response, cookie)
    return devices.remember(response, front.way.authority.throttle, who.email, front.way.context.now)


async def passed(request: Request, form: dict[str, str]) -> Passed:
    """Complete a login by what a form of these pages brings.

    Raises:
        Unauthenticated, TooManyRequests: as `SecondStep.complete`.
    """
    step, pending = doorway(request).second_step, form.get("pending", "")
    if "registration" in form:
        return await step.complete_by_new_passkey(pending, form["registration"], answered(form))
    if "credential" in form:
        return await step.complete_by_passkey(pending, answered(form))
    return await step.complete(pending, form.get("code", "").strip())


def answered(form: dict[str, str]) -> dict[str, Any]:
    """Return what a passkey answered; nothing where it cannot be read."""
    try:
        given = orjson.loads(form.get("credential", ""))
    except orjson.JSONDecodeError:
        return {}
    return given if isinstance(given, dict) else {}


async def _factor_page(
    request: Request,
    entrance: Entrance,
    pending: str,
    methods: list[str],
    refusal: Refusal | None,
    shown: UUID | None = None,
) -> Response:
    token, cookie = browsers.login_token(request, entrance.query)
    hidden = {**token, "pending": pending}
    if not methods:
        offer = await doorway(request).second_step.offer(pending, _APP, shown)
        return _enrolment_page(entrance, offer, hidden, refusal, cookie)
    step = doorway(request).second_step
    options = await step.ask_to_sign(pending) if "passkey" in methods else None
    problem = refusal.detail if refusal else None
    form = factor_form(entrance.second, hidden, methods, options=options, problem=problem)
    return _page(entrance, "Second factor", form, refusal, cookie)


def _enrolment_page(
    entrance: Entrance, offer: Offer, hidden: dict[str, str], refusal: Refusal | None, cookie: str
) -> Response:
    problem = refusal.detail if refusal else None
    app = app_form(entrance.second, {**hidden, "app": str(offer.app.id)}, offer.app, offer.email, problem)
    bound = {**hidden, "registration": offer.registration}
    key = passkey_form(entrance.second, bound, "create", offer.options, "Set up a passkey instead")
    return _page(entrance, "Set up a second factor", f"{pages.paragraph(_WHY)}{app}{key}", refusal, cookie)


def _page(entrance: Entrance, title: str, form: str, refusal: Refusal | None, cookie: str) -> Response:
    status = refusal.status if refusal else 200
    response = pages.page(title, form, status, leads_to=entrance.leads_to, headers=pages.retry(refusal))
    browsers.set_login(response, cookie)
    return response
