"""One's own links to identity providers in a browser; making one asks for the password, or a second factor, again."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape

from fastapi import Request, Response

from libs.common.database.transaction import Row
from libs.common.errors import Invalid, Refusal
from libs.common.http.door import OpenDoor
from services.auth import confirmation
from services.auth.api import account_forms, browsers, entrance, pages
from services.auth.api.authorize import anywhere, for_people
from services.auth.api.entrance import Entrance
from services.auth.api.own_account import Visit
from services.auth.api.ways import bind, buttons, cookie_of, offered, trips
from services.auth.commands import identities
from services.auth.desk import as_uuid
from services.auth.store import upstream

ROUTER = OpenDoor("/account/identities", tag="pages")
TENANTS = OpenDoor("/account/at", tag="pages")
ENTRANCE = Entrance("/account/login", "/account/login", "account")


@TENANTS.get("/{tenant}", name="tenant_login_page", include_in_schema=False)
@for_people
async def at_tenant(request: Request) -> Response:
    """Show a tenant's own login page, with its providers' buttons; one that nobody knows has none."""
    more = await buttons(request, as_uuid(request.path_params["tenant"]))
    return entrance.login_page(request, replace(ENTRANCE, more=more))


@ROUTER.get("", name="own_identities_page", include_in_schema=False)
@for_people
async def home(request: Request) -> Response:
    """Show by which identity providers one can log in; whoever is not logged in logs in first."""
    session = await anywhere(request)
    if session is None:
        return entrance.login_page(request, ENTRANCE)
    return await _home(Visit(request, session, {}))


@ROUTER.post("/link", name="own_identities_link", include_in_schema=False)
@for_people
async def link(request: Request) -> Response:
    """Begin to link, and show the way to the provider."""
    visit = await _visit(request)
    try:
        await _confirm(visit)
        way = await trips(request).begin(
            visit.session.tenant_id,
            as_uuid(visit.form.get("provider", "")),
            cookie_of(request),
            purpose="link",
            user_id=visit.session.user_id,
            grant_id=visit.session.grant_id,
        )
    except Refusal as refusal:
        return await _home(visit, refusal)
    # a link, not a redirect: the policy of a page binds where a form's answer may lead
    onward = f'<p><a class="button" href="{escape(way.location)}">Go on to your provider</a></p>'
    return bind(pages.page("Log in at your provider", f"{onward}{account_forms.BACK}"), way)


@ROUTER.post("/unlink", name="own_identities_unlink", include_in_schema=False)
@for_people
async def unlink(request: Request) -> Response:
    """Remove one's own link; what came of logins by it ends, this one too if it is one."""
    visit = await _visit(request)
    session = visit.session
    try:
        async with visit.way.acting(session.tenant_id, f"user:{session.user_id}") as tx:
            await identities.unlink(tx, as_uuid(visit.form.get("id", "")), user_id=session.user_id)
    except Refusal as refusal:
        return await _home(visit, refusal)
    return pages.see("/account/identities")


async def _visit(request: Request) -> Visit:
    form = await browsers.own_form(request)
    return Visit(request, browsers.require_session_token(request, await anywhere(request), form), form)


async def _confirm(visit: Visit) -> None:
    if visit.form.get("password"):
        await visit.prove()
    elif visit.form.get("code"):
        await confirmation.by_code(visit.way, visit.person, visit.form["code"])
    else:
        raise Invalid("Enter your password, or a code of your second factor.")


async def _home(visit: Visit, refusal: Refusal | None = None) -> Response:
    session = visit.session
    async with visit.way.acting(session.tenant_id, f"user:{session.user_id}") as tx:
        held = await upstream.of_person(tx, session.user_id)
    linked = {one["provider_id"] for one in held}
    free = [one for one in await offered(visit.request, session.tenant_id) if one["id"] not in linked]
    items = "".join(_item(visit, one) for one in held)
    shown = f'<ul class="list">{items}</ul>' if held else pages.paragraph("You are linked to no identity provider.")
    body = f"{pages.problem_text(refusal.detail if refusal else None)}{shown}{_form(visit, free)}{account_forms.BACK}"
    status = refusal.status if refusal else 200
    return pages.page("Your identity providers", body, status, headers=pages.retry(refusal))


def _item(visit: Visit, one: Row) -> str:
    hidden = pages.hidden_fields(visit.hidden(id=str(one["id"])))
    return (
        f"<li><strong>{escape(one['provider'])}</strong> <small>since {one['created_at'].date().isoformat()}</small>"
        f'<form method="post" action="/account/identities/unlink">{hidden}'
        '<button type="submit" class="other">Unlink</button></form></li>'
    )


def _form(visit: Visit, free: Sequence[Row]) -> str:
    if not free:
        return ""
    options = "".join(f'<option value="{one["id"]}">{escape(one["name"])}</option>' for one in free)
    return (
        f'<form method="post" action="/account/identities/link">{pages.hidden_fields(visit.hidden())}'
        f'<label for="provider">Identity provider</label><select id="provider" name="provider">{options}</select>'
        '<label for="password">Your password</label>'
        '<input id="password" name="password" type="password" autocomplete="current-password">'
        '<label for="code">or a code of your second factor</label>'
        '<input id="code" name="code" autocomplete="one-time-code">'
        '<button type="submit">Link</button></form>'
    )
