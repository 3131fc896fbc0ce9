"""The pages that links in mails lead to. A link's token stays in the browser until its form is sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from fastapi import Response

from libs.common.errors import NotFound
from libs.common.http.door import OpenDoor
from services.auth.api.pages import page, paragraph

ROUTER = OpenDoor("/account", tag="pages")
SETUP = OpenDoor("/setup", tag="pages")
SCRIPT = Path(__file__).with_name("account.js").read_bytes()
PASSKEYS = Path(__file__).with_name("passkeys.js").read_bytes()


@dataclass(frozen=True, slots=True)
class Field:
    """An input; `fill` is what a browser may fill in."""

    name: str
    label: str
    kind: str
    fill: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Form:
    """A page with one form: where it goes, whether a link's token goes with it, what is said when it worked."""

    title: str
    action: str
    button: str
    done: str
    fields: tuple[Field, ...] = ()
    token: bool = True
    note: str = ""


_EMAIL = Field("email", "E-mail address", "email", "username")
_NAME = Field("name", "Your name", "text", "name")
_PASSWORD = Field("password", "New password, at least 15 characters", "password", "new-password")
_LOG_IN = "You can log in now."
_NEXT = '<p id="next" hidden><a class="button" href="/account">Go to your account</a></p>'
PAGES: Mapping[str, Form] = {
    "signup": Form(
        "Sign up",
        "/v1/signup",
        "Send the link",
        "If the address can be used, a mail is on its way. Open the link in it.",
        (_EMAIL, _NAME, Field("tenant_name", "Your organisation", "text", "organization")),
        token=False,
    ),
    "verify": Form(
        "Choose a password", "/v1/signup/verify", "Make the account", f"The account is made. {_LOG_IN}", (_PASSWORD,)
    ),
    "forgot": Form(
        "Forgotten password",
        "/v1/password/forgot",
        "Send the link",
        "If there is an account of this address, a mail is on its way. Open the link in it.",
        (_EMAIL,),
        token=False,
    ),
    "reset": Form(
        "Choose another password",
        "/v1/password/reset",
        "Change the password",
        f"The password is changed, and every login has ended. {_LOG_IN}",
        (Field("password", "New password", "password", "new-password"),),
        note="At least 15 characters; 8 are enough where you have a second factor.",
    ),
    "email": Form(
        "Confirm your new address", "/v1/email/confirm", "Confirm", "From now on you log in with the new address."
    ),
    "join": Form(
        "Accept the invitation",
        "/v1/invitations/accept",
        "Accept",
        f"You have joined. {_LOG_IN}",
        (_NAME, Field("password", "Password, if you have no account yet", "password", "new-password", required=False)),
    ),
}


FIRST = Form(
    "Set up Regent",
    "/v1/setup",
    "Make the organisation",
    f"Regent is ready. {_LOG_IN}",
    (
        Field("tenant_name", "Your organisation", "text", "organization"),
        _NAME,
        _EMAIL,
        Field("password", "Password, at least 15 characters", "password", "new-password"),
    ),
    note="This link works once. It makes the first organisation, and you its owner.",
)


@SETUP.get("", name="setup_page", include_in_schema=False)
async def setup() -> Response:
    """Return the page that the one-time set-up link leads to."""
    return page(FIRST.title, _body(FIRST))


@ROUTER.get("/account.js", name="account_script", include_in_schema=False)
async def script() -> Response:
    """Return what sends the forms."""
    return _script(SCRIPT)


@ROUTER.get("/passkeys.js", name="passkeys_script", include_in_schema=False)
async def passkeys() -> Response:
    """Return what asks a browser for a passkey."""
    return _script(PASSKEYS)


@ROUTER.get("/{name}", name="account_page", include_in_schema=False)
async def shown(name: str) -> Response:
    """Return one of the pages."""
    form = PAGES.get(name)
    if form is None:
        raise NotFound("There is no such page.")
    return page(form.title, _body(form))


def _script(text: bytes) -> Response:
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(text, headers=headers, media_type="text/javascript")


def _body(form: Form) -> str:
    token = " data-token" if form.token else ""
    return (
        '<p id="message" role="status" tabindex="-1"></p>'
        f"<noscript>{paragraph('This page needs JavaScript: the link that you opened is read in your browser only.')}</noscript>"
        f'<form method="post" action="{escape(form.action)}" data-done="{escape(form.done)}"{token}>'
        f"{paragraph(form.note) if form.note else ''}{''.join(_input(field) for field in form.fields)}"
        f'<button type="submit">{escape(form.button)}</button></form>'
        f"{_NEXT if _LOG_IN in form.done else ''}"
        '<script src="/account/account.js" defer></script>'
    )


def _input(field: Field) -> str:
    required = " required" if field.required else ""
    return (
        f'<label for="{field.name}">{escape(field.label)}</label>'
        f'<input id="{field.name}" name="{field.name}" type="{field.kind}" autocomplete="{field.fill}"{required}>'
    )
