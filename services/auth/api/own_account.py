"""One's own account in a browser: factors, recovery codes, password, logins. What weakens it asks for the password."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from uuid import UUID

from fastapi import Request, Response

from libs.common.errors import Invalid, NotFound, Refusal
from libs.common.http.door import OpenDoor
from services.auth.api import account_forms, browsers, entrance, pages
from services.auth.api.authorize import anywhere, for_people
from services.auth.api.entrance import Entrance, answered
from services.auth.api.factor_forms import app_form, codes_link, new_passkey_form
from services.auth.api.shapes import doorway, office
from services.auth.commands import factors, grants
from services.auth.commands.browser import Session
from services.auth.desk import as_uuid
from services.auth.doorway import Doorway
from services.auth.flows import passwords
from services.auth.flows.office import Office, end_everywhere
from services.auth.store import accounts
from services.auth.store import factors as stored
from services.auth.store import grants as stored_grants

ROUTER = OpenDoor("/account", tag="pages")
_HOME, _BOUND, _LONGEST_NAME = "/account", "account", 60
ENTRANCE = Entrance("/account/login", "/account/login", _BOUND)


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody who is logged in with a browser, and the form that they sent."""

    request: Request
    session: Session
    form: dict[str, str]

    @property
    def person(self) -> factors.Person:
        """Whose account it is."""
        return factors.Person(self.session.user_id, self.session.tenant_id)

    @property
    def way(self) -> Doorway:
        """The way to what is their own, in their name."""
        way = doorway(self.request)
        return replace(way, context=replace(way.context, actor=f"user:{self.session.user_id}"))

    @property
    def office(self) -> Office:
        """Where their account is changed."""
        return office(self.request)

    def hidden(self, **more: str) -> dict[str, str]:
        """Return the hidden fields of a form that only this session may send."""
        return {**browsers.session_token(self.request, self.session, _BOUND), **more}

    async def prove(self) -> None:
        """Refuse a form without the person's password.

        Raises:
            Forbidden, TooManyRequests: as `passwords.prove`.
        """
        await passwords.prove(self.office, self.session.user_id, self.form.get("password", ""))


def for_member(work: Callable[[Visit], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Let a form through that a logged-in person's own page sent; a refusal is said on that page."""

    @for_people
    async def sent(request: Request) -> Response:
        form = await browsers.own_form(request)
        session = browsers.require_session_token(request, await anywhere(request), form)
        visit = Visit(request, session, form)
        try:
            return await work(visit)
        except Refusal as refusal:
            return await show_home(visit, refusal)

    return sent


@ROUTER.get("", name="own_account", include_in_schema=False)
@for_people
async def home(request: Request) -> Response:
    """Show one's own account; whoever is not logged in logs in first."""
    session = await anywhere(request)
    if session is None:
        return entrance.login_page(request, ENTRANCE)
    return await show_home(Visit(request, session, {}))


@ROUTER.post("/login", name="account_login", include_in_schema=False)
@for_people
async def login(request: Request) -> Response:
    """Log a person in, by one step or two, and show their account."""
    form = await browsers.own_form(request)
    browsers.require_login_token(request, form)
    passed = await entrance.log_in(request, ENTRANCE, form)
    return passed if isinstance(passed, Response) else await entrance.admit(request, passed, _HOME)


@ROUTER.post("/logout", name="account_logout", include_in_schema=False)
@for_member
async def logout(visit: Visit) -> Response:
    """End this login, or all of them."""
    if visit.form.get("where") == "everywhere":
        await end_everywhere(visit.office, visit.session.user_id)
    await browsers.front(visit.request).log_out(browsers.session_cookie(visit.request))
    response = pages.page("You are logged out", '<p><a href="/account">Log in again</a></p>')
    browsers.clear_session(response)
    return response


@ROUTER.post("/end", name="account_login_end", include_in_schema=False)
@for_member
async def end(visit: Visit) -> Response:
    """End one of one's own logins in this organisation."""
    id_, subject = as_uuid(visit.form.get("id", "")), f"user:{visit.session.user_id}"
    async with visit.way.acting(visit.session.tenant_id, subject) as tx:
        found = await stored_grants.lock_grant(tx, id_)
        if found is None or found["subject"] != subject:
            raise NotFound("There is no such login.")
        await grants.revoke_one(tx, id_, "logout")
    return await show_home(visit, done="The login has ended.")


@ROUTER.post("/app", name="account_app", include_in_schema=False)
@for_member
async def app(visit: Visit) -> Response:
    """Show what an authenticator app needs; it counts once a code of it was shown."""
    await visit.prove()
    async with visit.way.system() as tx:
        made = await factors.enrol_totp(tx, visit.way.authority, visit.person, "Authenticator")
    return _app_page(visit, made)


@ROUTER.post("/app/confirm", name="account_app_confirm", include_in_schema=False)
@for_member
async def confirm(visit: Visit) -> Response:
    """Let an authenticator app count; recovery codes are shown where it is the first factor."""
    way, id_ = visit.way, as_uuid(visit.form.get("id", ""))
    try:
        async with way.system() as tx:
            code = visit.form.get("code", "")
            codes = await factors.confirm_totp(tx, way.authority, visit.person, id_, code)
    except Invalid as wrong:
        async with way.system() as tx:
            made = await factors.waiting_totp(tx, way.authority, visit.person, id_)
        if made is None:
            raise
        return _app_page(visit, made, wrong)
    return await _added(visit, codes, "The authenticator app is added.")


@ROUTER.post("/passkey", name="account_passkey", include_in_schema=False)
@for_member
async def passkey(visit: Visit) -> Response:
    """Show the page on which a browser makes a passkey."""
    await visit.prove()
    async with visit.way.system() as tx:
        held = await stored.of_person(tx, visit.person.id)
    keys, session = visit.way.authority.passkeys, visit.session
    token, options = keys.ask_to_register(session.user_id, session.email, held, visit.way.context.now)
    hidden = visit.hidden(registration=token)
    form = new_passkey_form("/account/passkey/finish", hidden, options)
    text = pages.paragraph("Your browser asks for your fingerprint, your face, a PIN or a security key.")
    return pages.page("Add a passkey", f"{text}{form}{account_forms.BACK}")


@ROUTER.post("/passkey/finish", name="account_passkey_finish", include_in_schema=False)
@for_member
async def passkey_finish(visit: Visit) -> Response:
    """Keep a passkey; recovery codes are shown where it is the first factor."""
    way, token = visit.way, visit.form.get("registration", "")
    made = way.authority.passkeys.registered(visit.person.id, token, answered(visit.form), way.context.now)
    async with way.system() as tx:
        _, codes = await factors.add_passkey(tx, way.authority, visit.person, _name(visit.form.get("name", "")), made)
    return await _added(visit, codes, "The passkey is added.")


@ROUTER.post("/remove", name="account_factor_remove", include_in_schema=False)
@for_member
async def remove(visit: Visit) -> Response:
    """Remove a second factor."""
    await visit.prove()
    async with visit.way.system() as tx:
        await factors.remove(tx, visit.way.authority, visit.person, as_uuid(visit.form.get("id", "")))
    return await show_home(visit, done="The second factor is removed.")


@ROUTER.post("/codes", name="account_codes", include_in_schema=False)
@for_member
async def codes(visit: Visit) -> Response:
    """Make other recovery codes, shown once."""
    await visit.prove()
    async with visit.way.system() as tx:
        made = await factors.replace_codes(tx, visit.way.authority, visit.person)
    return pages.page("Your recovery codes", codes_link(made, _HOME))


@ROUTER.get("/password", name="account_password_page", include_in_schema=False)
@for_people
async def password_page(request: Request) -> Response:
    """Show the form for another password; whoever is not logged in logs in first."""
    session = await anywhere(request)
    if session is None:
        return entrance.login_page(request, ENTRANCE)
    return _password_page(Visit(request, session, {}))


@ROUTER.post("/password", name="account_password", include_in_schema=False)
@for_member
async def password(visit: Visit) -> Response:
    """Change the password; all other logins of the account end, and a mail says so."""
    current, new, session = visit.form.get("password", ""), visit.form.get("new", ""), visit.session
    try:
        await passwords.change(visit.office, session.user_id, session.grant_id, current, new)
    except Refusal as refusal:
        return _password_page(visit, refusal)
    return await show_home(visit, done="The password is changed, and your other logins have ended.")


def _name(text: str) -> str:
    """Return a name as it can be kept: printable and not too long."""
    plain = "".join(letter for letter in text if letter.isprintable()).strip()
    return plain[:_LONGEST_NAME].strip() or "Passkey"


async def _added(visit: Visit, made: list[str], done: str) -> Response:
    if made:
        return pages.page("Your recovery codes", codes_link(made, _HOME))
    return await show_home(visit, done=done)


async def show_home(visit: Visit, refusal: Refusal | None = None, done: str = "") -> Response:
    """Return the page of one's own account, with what went wrong or what was done."""
    user: UUID = visit.session.user_id
    async with visit.way.acting(visit.session.tenant_id, f"user:{user}") as tx:
        tenant = (await accounts.find_tenant(tx))["name"]
        live = await stored_grants.live_grants(tx, f"user:{user}")
    async with visit.way.system() as tx:
        held, left = await stored.of_person(tx, user), await stored.codes_left(tx, user)
    hidden, email = visit.hidden(), visit.session.email
    logins = account_forms.logins(hidden, live, visit.session.grant_id)
    body = account_forms.overview(hidden, email, tenant, held, left, logins, said(refusal), done)
    status = refusal.status if refusal else 200
    title = f"Hello, {visit.session.name}"
    return pages.page(title, body, status, headers=pages.retry(refusal), wide=True)


def _app_page(visit: Visit, made: factors.Enrolment, refusal: Refusal | None = None) -> Response:
    hidden = visit.hidden(id=str(made.id))
    form = app_form("/account/app/confirm", hidden, made, visit.session.email, said(refusal))
    status = refusal.status if refusal else 200
    return pages.page("Add an authenticator app", f"{form}{account_forms.BACK}", status)


def _password_page(visit: Visit, refusal: Refusal | None = None) -> Response:
    form = account_forms.password_form(visit.hidden(), visit.session.email, said(refusal))
    status = refusal.status if refusal else 200
    return pages.page("Change your password", form, status, headers=pages.retry(refusal))


def said(refusal: Refusal | None) -> str | None:
    """Return what went wrong, with what is wrong of each field."""
    if refusal is None:
        return None
    faults = [f"It {fault.message}." for fault in refusal.fields]
    return " ".join([refusal.detail, *faults])
