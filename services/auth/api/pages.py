"""The few pages that auth shows: plain HTML, almost without scripts; whatever stands in them is escaped."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from fastapi import Response
from fastapi.responses import HTMLResponse

from libs.common.errors import Refusal
from services.auth.api.solver import SCRIPT_SOURCE, challenge_field, solver
from services.auth.api.spoken import spoken, spoken_place

_STYLE = Path(__file__).with_name("pages.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_MARK = (
    '<header><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M3 7l4.5 4L12 4l4.5 7L21 7l-2 11H5zM5 20h14v2H5z"/></svg>'
    "<span>Regent</span></header>"
)
_FORGOTTEN = '<p class="below"><a href="/account/forgot">Forgotten password?</a></p>'
_WIDE = '<body class="wide">'


def page(
    title: str,
    body: str,
    status: int = 200,
    *,
    leads_to: str = "",
    headers: dict[str, str] | None = None,
    wide: bool = False,
) -> HTMLResponse:
    """Return a page that nobody may frame, keep or extend; its forms lead back here, or on to `leads_to`.

    A page that names a script runs those of this origin, which speak with this origin.
    """
    scripts = "script-src 'self'; connect-src 'self'; " if "<script src=" in body else ""
    if "<script>" in body:
        scripts = f"script-src {SCRIPT_SOURCE}; "
    policy = (
        f"default-src 'none'; {scripts}style-src 'sha256-{_STYLE_HASH}'; form-action 'self' {leads_to}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    sent = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Opener-Policy": "same-origin",
        **(headers or {}),
    }
    content = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} - Regent</title><style>{_STYLE}</style></head>"
        f"{_WIDE if wide else '<body>'}{_MARK}<main><h1>{escape(title)}</h1>{body}</main></body></html>\n"
    )
    return HTMLResponse(content, status, sent)


def problem_page(text: str, status: int = 400, headers: dict[str, str] | None = None) -> HTMLResponse:
    """Return a page that says what is wrong to the person at the browser, and to nobody else."""
    return page("This does not work", problem_text(text), status, headers=headers)


def retry(refusal: Refusal | None) -> dict[str, str]:
    """Return the header that says when to come back, if the refusal says it."""
    return {"Retry-After": str(refusal.retry_after)} if refusal and refusal.retry_after is not None else {}


def see(location: str) -> Response:
    """Send the browser elsewhere, by GET."""
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Location": location}
    return Response(status_code=303, headers=headers)


def login_form(
    action: str,
    hidden: dict[str, str],
    *,
    client: str = "",
    email: str = "",
    problem: str | None = None,
    tenants: dict[str, str] | None = None,
    challenge: dict[str, Any] | None = None,
) -> str:
    """Return a form for address and password; `client` is for whom somebody logs in, `tenants` what to choose from."""
    why = f"<p>to go on to <strong>{escape(client)}</strong></p>" if client else ""
    return (
        f'{why}{problem_text(problem)}<form method="post" action="{escape(action)}">{hidden_fields(hidden)}'
        '<label for="email">E-mail address</label>'
        f'<input id="email" name="email" type="email" autocomplete="username" required value="{escape(email)}">'
        '<label for="password">Password</label>'
        '<input id="password" name="password" type="password" autocomplete="current-password" required>'
        f"{_choice(tenants or {})}{challenge_field(challenge)}"
        f'<button type="submit">Log in</button></form>{_FORGOTTEN}{solver(challenge)}'
    )


def consent_form(action: str, hidden: dict[str, str], wish: "Wish") -> str:
    """Return a form that asks whether a client may act for an account."""
    return (
        f"<p><strong>{escape(wish.client)}</strong> asks to act for you, {escape(wish.account)}. It will be able to:</p>"
        f"{_items({name: spoken(name) for name in sorted(wish.scope)})}{_places(wish.resource)}"
        f'<form method="post" action="{escape(action)}">{hidden_fields(hidden)}'
        '<button type="submit" name="decision" value="allow">Allow</button>'
        '<button type="submit" name="decision" value="deny" class="other">Do not allow</button></form>'
        f'<form method="post" action="/oauth2/logout">{hidden_fields(hidden)}'
        '<button type="submit" class="other">Use another account</button></form>'
    )


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person is asked: which client may do what for their account, at which resources (none: everywhere here)."""

    client: str
    account: str
    scope: Iterable[str]
    resource: Sequence[str] | None = None


def _places(resource: Sequence[str] | None) -> str:
    if not resource:
        return ""
    return f"<p>At these places only:</p>{_items({one: spoken_place(one) for one in resource})}"


def _items(meanings: dict[str, str]) -> str:
    """Return a list of names with what they mean before them."""
    items = (f"<li>{escape(meaning)} <small>{escape(name)}</small></li>" for name, meaning in meanings.items())
    return f"<ul>{''.join(items)}</ul>"


def logout_form(hidden: dict[str, str], account: str) -> str:
    """Return a form that ends a session."""
    return (
        f'<p>You are logged in as {escape(account)}.</p><form method="post" action="/oauth2/logout">'
        f'{hidden_fields(hidden)}<button type="submit">Log out</button></form>'
    )


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def hidden_fields(values: dict[str, str]) -> str:
    """Return hidden fields of a form."""
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in values.items()
    )


def device_form(hidden: dict[str, str], code: str, problem: str | None) -> str:
    """Return a form for the code that a device shows."""
    return (
        f'{problem_text(problem)}<form method="post" action="/oauth2/device">{hidden_fields(hidden)}'
        '<label for="user_code">Code that the device shows</label>'
        f'<input id="user_code" name="user_code" autocomplete="off" required value="{escape(code)}">'
        '<button type="submit">Go on</button></form>'
    )


def _choice(tenants: dict[str, str]) -> str:
    """Return a list of tenants to choose from, or nothing."""
    if not tenants:
        return ""
    options = "".join(f'<option value="{escape(id_)}">{escape(name)}</option>' for id_, name in tenants.items())
    return f'<label for="tenant">Company</label><select id="tenant" name="tenant">{options}</select>'


def problem_text(text: str | None) -> str:
    """Return a text that is read out as something that went wrong, or nothing."""
    return f'<p class="problem" role="alert">{escape(text)}</p>' if text else ""
