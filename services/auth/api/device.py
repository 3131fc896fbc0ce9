"""Device authorization (RFC 8628): what the device asks, and the page where a person types its code."""

from fastapi import Request, Response

from libs.common.database.transaction import Row
from libs.common.http.door import OpenDoor
from services.auth import protocol
from services.auth.api import browsers, entrance, forms, pages
from services.auth.api.authorize import HTML, anywhere, for_people
from services.auth.api.entrance import Entrance
from services.auth.authority import authority
from services.auth.commands import device
from services.auth.commands.browser import Session
from services.auth.store import devices as stored

ROUTER = OpenDoor("/oauth2", tag="oauth2")
_FORM = forms.form_schema(
    [], scope={"type": "string", "description": "permissions separated by spaces"}, resource=forms.RESOURCE
)
_UNKNOWN = "This code is unknown, used or expired. Check what the device shows."


@ROUTER.post("/device_authorization", name="authorize_device", openapi_extra=_FORM)
@forms.for_clients
async def authorize_device(request: Request) -> Response:
    """Give a device a code to poll with, and one for a person to type elsewhere."""
    return await forms.answered(request, "device_authorization")


@ROUTER.get("/device", name="device_page", responses=HTML, response_class=Response)
@for_people
async def page(request: Request) -> Response:
    """Ask for the code that a device shows; whoever is not logged in logs in first."""
    code = request.query_params.get("user_code", "")[:20]
    session = await anywhere(request)
    if session is None:
        return entrance.login_page(request, _entrance(code))
    return _code_page(request, session, code)


@ROUTER.post("/device/login", name="device_login", responses=HTML, response_class=Response)
@for_people
async def login(request: Request) -> Response:
    """Log a person in, by one step or two, and go on to the device's code."""
    form = await browsers.own_form(request)
    browsers.require_login_token(request, form)
    code = form.get("request", "")
    passed = await entrance.log_in(request, _entrance(code), form)
    if isinstance(passed, Response):
        return passed
    return await entrance.admit(request, passed, protocol.with_parameters("/oauth2/device", {"user_code": code}))


@ROUTER.post("/device", name="decide_device", responses=HTML, response_class=Response)
@for_people
async def decide(request: Request) -> Response:
    """Show what a device asks for, and take what the person decides."""
    form = await browsers.own_form(request)
    session = browsers.require_session_token(request, await anywhere(request), form)
    waiting = await _waiting(request, session, form)
    if waiting is None:
        return _code_page(request, session, "", _UNKNOWN)
    if "decision" not in form:
        return _consent_page(request, session, waiting, form)
    if form["decision"] == "allow":
        return pages.page("Done", pages.paragraph("The device goes on by itself. You can close this page."))
    return pages.page("Not allowed", pages.paragraph("The device was told. You can close this page."))


async def _waiting(request: Request, session: Session, form: dict[str, str]) -> Row | None:
    """Return the device that waits under the code that was typed, decided on if the person did; guessing is slow."""
    way, throttle = browsers.front(request).way, authority(request).throttle
    async with way.system() as tx:
        counted = await throttle.reserve(tx, f"device-code:{session.user_id}")
    async with way.acting(session.tenant_id, f"user:{session.user_id}") as tx:
        waiting = await stored.lock_pending(tx, device.mark(throttle, form.get("user_code", "")))
        if waiting is not None and "decision" in form:
            await device.decide(tx, waiting, session, "allowed" if form["decision"] == "allow" else "denied")
    async with way.system() as tx:
        await (throttle.give_back if waiting else throttle.fail)(tx, counted)
    return waiting


def _entrance(code: str) -> Entrance:
    return Entrance("/oauth2/device/login", "/oauth2/device/login", code)


def _code_page(request: Request, session: Session, code: str, problem: str | None = None) -> Response:
    form = pages.device_form(browsers.session_token(request, session, ""), code, problem)
    return pages.page("Connect a device", form, 400 if problem else 200)


def _consent_page(request: Request, session: Session, waiting: Row, form: dict[str, str]) -> Response:
    hidden = {**browsers.session_token(request, session, ""), "user_code": form.get("user_code", "")}
    name = waiting["name"]
    wish = pages.Wish(name, session.email, waiting["scope"], waiting["resource"])
    shown = pages.consent_form("/oauth2/device", hidden, wish)
    warning = pages.paragraph("Allow this only if you started it yourself, on a device of yours, just now.")
    return pages.page(f"Allow {name}?", warning + shown)
