"""The few pages that auth shows: plain HTML, almost without scripts; whatever stands in them is escaped."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from typing import Any

from fastapi.responses import HTMLResponse

from services.auth.api.solver import SCRIPT_SOURCE, challenge_field, solver

_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #f6f6f4; margin: 0 }
main { max-width: 26rem; margin: 8vh auto; padding: 2rem; background: #fff; border: 1px solid #ccc; border-radius: .5rem }
h1 { font-size: 1.4rem; margin-top: 0 }
label { display: block; margin-top: 1rem; font-weight: 600 }
input { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem; border: 1px solid #767676; border-radius: .25rem }
button { font: inherit; margin: 1.5rem .5rem 0 0; padding: .5rem 1.25rem; border: 1px solid #1a4f8b; border-radius: .25rem;
  background: #1a4f8b; color: #fff }
button.other { background: #fff; color: #1a4f8b }
:focus-visible { outline: 3px solid #e0a100; outline-offset: 2px }
.problem { border-left: 4px solid #b00020; padding-left: .75rem }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def page(
    title: str,
    body: str,
    status: int = 200,
    *,
    leads_to: str = "",
    headers: dict[str, str] | None = None,
    scripted: bool = False,
) -> HTMLResponse:
    """Return a page that nobody may frame, keep or extend; its forms lead back here, or on to `leads_to`.

    A scripted page runs scripts of this origin, which speak with this origin.
    """
    scripts = "script-src 'self'; connect-src 'self'; " if scripted else ""
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
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>\n"
    )
    return HTMLResponse(content, status, sent)


def problem_page(text: str, status: int = 400, headers: dict[str, str] | None = None) -> HTMLResponse:
    """Return a page that says what is wrong to the person at the browser, and to nobody else."""
    return page("This does not work", _problem(text), status, headers=headers)


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
        f'{why}{_problem(problem)}<form method="post" action="{escape(action)}">{hidden_fields(hidden)}'
        '<label for="email">E-mail address</label>'
        f'<input id="email" name="email" type="email" autocomplete="username" required value="{escape(email)}">'
        '<label for="password">Password</label>'
        '<input id="password" name="password" type="password" autocomplete="current-password" required>'
        f"{_choice(tenants or {})}{challenge_field(challenge)}"
        f'<button type="submit">Log in</button></form>{solver(challenge)}'
    )


def factor_form(action: str, hidden: dict[str, str], *, problem: str | None = None) -> str:
    """Return a form for the code of a second factor."""
    return (
        f'{_problem(problem)}<form method="post" action="{escape(action)}">{hidden_fields(hidden)}'
        '<label for="code">Code of your authenticator app, or a recovery code</label>'
        '<input id="code" name="code" autocomplete="one-time-code" required>'
        '<button type="submit">Go on</button></form>'
    )


def consent_form(action: str, hidden: dict[str, str], *, client: str, account: str, scope: Iterable[str]) -> str:
    """Return a form that asks whether a client may act for an account, within a scope."""
    items = "".join(f"<li>{escape(_SAID.get(name, name))}</li>" for name in sorted(scope))
    return (
        f"<p><strong>{escape(client)}</strong> asks to act for you, {escape(account)}. It will be able to:</p>"
        f'<ul>{items}</ul><form method="post" action="{escape(action)}">{hidden_fields(hidden)}'
        '<button type="submit" name="decision" value="allow">Allow</button>'
        '<button type="submit" name="decision" value="deny" class="other">Do not allow</button></form>'
        f'<form method="post" action="/oauth2/logout">{hidden_fields(hidden)}'
        '<button type="submit" class="other">Use another account</button></form>'
    )


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
        f'{_problem(problem)}<form method="post" action="/oauth2/device">{hidden_fields(hidden)}'
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


def _problem(text: str | None) -> str:
    return f'<p class="problem" role="alert">{escape(text)}</p>' if text else ""


_SAID = {
    "openid": "know who you are",
    "profile": "know your name",
    "email": "know your e-mail address",
    "offline_access": "go on while you are away",
}
