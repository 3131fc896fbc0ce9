"""One's own account: sign up, choose another password, take another address. Links come by mail, tokens in bodies."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import Field

from libs.common.errors import Forbidden
from libs.common.http.door import Caller, OpenDoor, caller
from libs.common.identity.principal import Principal
from services.auth.api.shapes import Body, Email, Name, Password, answer, office
from services.auth.flows import emails, passwords, signup
from services.auth.mail.addresses import normalise_mailable
from services.auth.settings import Settings

PUBLIC = OpenDoor("/v1", tag="accounts")
OWN = OpenDoor("/v1", tag="accounts")
_ASKED = {"status": "accepted"}
LinkToken = Annotated[str, Field(min_length=1, max_length=200, description="what stands behind the # of the link")]


class SignUp(Body):
    """Somebody who wants an account, and a tenant of their own."""

    email: Email
    name: Name
    tenant_name: Name


class Chosen(Body):
    """A link's token, and the password chosen by who opened it."""

    token: LinkToken
    password: Password


class Forgotten(Body):
    """The address of an account whose password is forgotten."""

    email: Email


class ChangedPassword(Body):
    """The password as it is, and as it shall be."""

    current: Password
    password: Password


class ChangedEmail(Body):
    """The new address; the password shows that it is the owner who asks."""

    email: Email
    password: Password


class Confirmed(Body):
    """A link's token."""

    token: LinkToken


@PUBLIC.post("/signup", status_code=202, name="sign_up")
async def sign_up(request: Request, body: SignUp) -> Response:
    """Send a link that confirms the address; the answer is the same whether it has an account or not."""
    settings: Settings = request.app.state.runtime.settings
    if not settings.open_signup:
        raise Forbidden("Accounts are made by invitation here.", type="signup-closed")
    await signup.request(office(request), normalise_mailable(body.email), body.name, body.tenant_name)
    return answer(_ASKED, 202)


@PUBLIC.post("/signup/verify", status_code=201, name="verify_sign_up")
async def verify(request: Request, body: Chosen) -> Response:
    """Make the account and its tenant; the link works once. Log in afterwards."""
    tenant, user = await signup.verify(office(request), body.token, body.password)
    return answer({"tenant_id": tenant, "user_id": user}, 201)


@PUBLIC.post("/password/forgot", status_code=202, name="forgot_password")
async def forgot(request: Request, body: Forgotten) -> Response:
    """Send a link with which another password is chosen; the answer is the same for unknown addresses."""
    await passwords.forget(office(request), normalise_mailable(body.email))
    return answer(_ASKED, 202)


@PUBLIC.post("/password/reset", status_code=204, name="reset_password")
async def reset(request: Request, body: Chosen) -> Response:
    """Choose another password; the link works once, and every login of the account ends."""
    await passwords.reset(office(request), body.token, body.password)
    return Response(status_code=204)


@OWN.post("/password", status_code=204, name="change_password", dependencies=[Depends(caller)])
async def change_password(request: Request, principal: Caller, body: ChangedPassword) -> Response:
    """Change one's own password; all other logins of the account end."""
    user = person_of(principal)
    await passwords.change(office(request), user, principal.grant_id, body.current, body.password)
    return Response(status_code=204)


@OWN.post("/email", status_code=202, name="change_email", dependencies=[Depends(caller)])
async def change_email(request: Request, principal: Caller, body: ChangedEmail) -> Response:
    """Send a link to one's new address; it counts once the link is used."""
    user = person_of(principal)
    await emails.request(office(request), user, normalise_mailable(body.email), body.password)
    return answer(_ASKED, 202)


@PUBLIC.post("/email/confirm", status_code=204, name="confirm_email")
async def confirm_email(request: Request, body: Confirmed) -> Response:
    """Take the new address; the old one is told."""
    await emails.confirm(office(request), body.token)
    return Response(status_code=204)


def person_of(principal: Principal) -> UUID:
    """Return the id of the person who asks.

    Raises:
        Forbidden: it is a client.
    """
    kind, _, id_ = principal.subject.partition(":")
    if kind != "user":
        raise Forbidden("Only a person has an account.", type="no-person")
    return UUID(id_)
