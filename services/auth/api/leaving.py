"""The end-session endpoint (OpenID Connect RP-Initiated Logout)."""

from fastapi import Request, Response

from libs.common.http.door import OpenDoor
from services.auth.api import browsers, forms, pages
from services.auth.api.authorize import HTML, SEEN, anywhere, for_people
from services.auth.leaving import Farewell, read_farewell
from services.auth.protocol import form_target

ROUTER = OpenDoor("/oauth2", tag="oauth2")
_TEXT = {"type": "string"}
_WISH = forms.form_schema([], id_token_hint=_TEXT, post_logout_redirect_uri=_TEXT, state=_TEXT)


@ROUTER.get("/end_session", name="leave", responses={**HTML, **SEEN}, response_class=Response)
@for_people
async def end_session(request: Request) -> Response:
    """End the browser's session on a client's wish; where it is not sure whose, the person is asked."""
    query = request.url.query
    farewell, session = await _farewell(request, query), await anywhere(request)
    if session is None or farewell.means(session):
        return await _ended(request, farewell)
    hidden = pages.hidden_fields(browsers.session_token(request, session, query))
    text = pages.paragraph(f"You are logged in as {session.email}.")
    form = (
        f'{text}<form method="post" action="/oauth2/end_session/confirm">{hidden}'
        '<button type="submit">Log out</button></form>'
    )
    return pages.page("Log out?", form, leads_to=form_target(farewell.target) if farewell.target else "")


@ROUTER.post("/end_session", name="leave_by_post", openapi_extra=_WISH, responses=SEEN, response_class=Response)
@for_people
async def end_session_by_post(request: Request) -> Response:
    """Take the same wish as a form; the browser asks again by GET, where its cookies come along."""
    return pages.see(f"/oauth2/end_session?{await browsers.foreign_form(request)}")


@ROUTER.post("/end_session/confirm", name="confirm_leaving", responses={**HTML, **SEEN}, response_class=Response)
@for_people
async def confirm(request: Request) -> Response:
    """End the session as the person says."""
    form = await browsers.own_form(request)
    browsers.require_session_token(request, await anywhere(request), form)
    return await _ended(request, await _farewell(request, form.get("request", "")))


async def _farewell(request: Request, query: str) -> Farewell:
    front = browsers.front(request)
    return await read_farewell(front.way, front.issuer, query)


async def _ended(request: Request, farewell: Farewell) -> Response:
    await browsers.front(request).log_out(browsers.session_cookie(request))
    done = pages.page("You are logged out", pages.paragraph("This browser has no session here."))
    response = pages.see(farewell.target) if farewell.target else done
    browsers.clear_session(response)
    return response
