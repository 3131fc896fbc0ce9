"""One's own address in a browser: another one is asked for with the password, and counts once its link was used."""

from fastapi import Request, Response

from libs.common.errors import Refusal
from libs.common.http.door import OpenDoor
from services.auth.api import account_forms, entrance, pages
from services.auth.api.authorize import anywhere, for_people
from services.auth.api.own_account import ENTRANCE, Visit, for_member, said, show_home
from services.auth.flows import emails
from services.auth.mail.addresses import normalise_mailable

ROUTER = OpenDoor("/account/address", tag="pages")
_SENT = "If the address can be used, a mail is on its way to it. Until its link is opened, you log in with the old one."


@ROUTER.get("", name="account_address_page", include_in_schema=False)
@for_people
async def page(request: Request) -> Response:
    """Show the form for another address; whoever is not logged in logs in first."""
    session = await anywhere(request)
    if session is None:
        return entrance.login_page(request, ENTRANCE)
    return _page(Visit(request, session, {}))


@ROUTER.post("", name="account_address", include_in_schema=False)
@for_member
async def change(visit: Visit) -> Response:
    """Send a link to the new address; whether somebody has it already does not show."""
    try:
        email = normalise_mailable(visit.form.get("email", ""))
        await emails.request(visit.office, visit.session.user_id, email, visit.form.get("password", ""))
    except Refusal as refusal:
        return _page(visit, refusal)
    return await show_home(visit, done=_SENT)


def _page(visit: Visit, refusal: Refusal | None = None) -> Response:
    form = account_forms.address_form(visit.hidden(), visit.session.email, visit.form.get("email", ""), said(refusal))
    status = refusal.status if refusal else 200
    return pages.page("Change your e-mail address", form, status, headers=pages.retry(refusal))
