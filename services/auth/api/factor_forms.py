"""Forms for second factors: shown at login, set up on the way in or later. Passkeys need a script, the rest none."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any

import segno

from services.auth import totp
from services.auth.api.pages import hidden_fields, paragraph, problem_text
from services.auth.commands.factors import Enrolment

SCRIPT = '<script src="/account/passkeys.js" defer></script>'
_SPELLED = 4
_OR, _OTHER = '<p class="or">or</p>', ' class="other"'
_APP_OR_CODE = "Code of your authenticator app, or a recovery code"


def factor_form(
    action: str,
    hidden: dict[str, str],
    methods: Sequence[str],
    *,
    options: dict[str, Any] | None = None,
    problem: str | None = None,
) -> str:
    """Return forms for a second factor: a code, and where there are `options` a passkey's signature as well."""
    app = "totp" in methods
    form = (
        f'<form method="post" action="{escape(action)}">{hidden_fields(hidden)}'
        f'<label for="code">{_APP_OR_CODE if app else "A recovery code"}</label>'
        '<input id="code" name="code" autocomplete="one-time-code" autocapitalize="none" spellcheck="false" required>'
        f'<button type="submit"{"" if app else _OTHER}>Go on</button></form>'
    )
    said = problem_text(problem)
    if options is None:
        return f"{said}{form}"
    if app:
        return f"{said}{form}{passkey_form(action, hidden, 'get', options, 'Use a passkey')}"
    key = _passkey(action, hidden, "get", options, '<button type="submit">Use your passkey</button>')
    return f"{said}{_scripted(key + _OR)}{form}"


def passkey_form(action: str, hidden: dict[str, str], kind: str, options: dict[str, Any], button: str) -> str:
    """Return a form, beside another, that a script fills with what a passkey answers; hidden where no script runs."""
    inside = f'<button type="submit"{_OTHER}>{escape(button)}</button>'
    return _scripted(f"{_OR}{_passkey(action, hidden, kind, options, inside)}")


def new_passkey_form(action: str, hidden: dict[str, str], options: dict[str, Any]) -> str:
    """Return a form for a passkey that somebody names."""
    inside = (
        '<label for="name">A name for it, such as the device</label>'
        '<input id="name" name="name" maxlength="60" value="Passkey"><button type="submit">Make a passkey</button>'
    )
    return _scripted(_passkey(action, hidden, "create", options, inside))


def _scripted(part: str) -> str:
    return f"<div data-scripted hidden>{part}</div>{SCRIPT}"


def _passkey(action: str, hidden: dict[str, str], kind: str, options: dict[str, Any], inside: str) -> str:
    return (
        f'<form method="post" action="{escape(action)}" data-passkey="{kind}" '
        f'data-options="{escape(json.dumps(options))}">{hidden_fields(hidden)}'
        f'<input type="hidden" name="credential" value=""><p class="problem" role="alert" hidden></p>{inside}</form>'
    )


def app_form(action: str, hidden: dict[str, str], app: Enrolment, email: str, problem: str | None = None) -> str:
    """Return what an authenticator app needs, and a form for its first code."""
    text = totp.spelled(app.secret)
    spelled = " ".join(text[start : start + _SPELLED] for start in range(0, len(text), _SPELLED))
    uri = totp.enrolment_uri(app.secret, email)
    return (
        f"{paragraph('Scan this with an authenticator app on your phone, then type the code that it shows.')}"
        f"{_qr(uri)}<details><summary>No camera? Type the key instead</summary><p><code>{spelled}</code></p>"
        f'<p><a href="{escape(uri)}">Open an app on this device</a></p></details>{problem_text(problem)}'
        f'<form method="post" action="{escape(action)}">{hidden_fields(hidden)}'
        '<label for="code">Code that the app shows</label>'
        '<input id="code" name="code" autocomplete="one-time-code" inputmode="numeric" required>'
        '<button type="submit">Set up</button></form>'
    )


def codes_list(codes: Sequence[str]) -> str:
    """Return recovery codes, which are shown this once."""
    items = "".join(f"<li>{escape(code)}</li>" for code in codes)
    return (
        f"{paragraph('Keep these recovery codes in a safe place. Each opens your account once if you lose your phone or passkey. They are not shown again.')}"
        f'<ul class="codes">{items}</ul>'
    )


def codes_form(codes: Sequence[str], action: str, hidden: dict[str, str]) -> str:
    """Return recovery codes, and a form that goes on once they are written down."""
    return (
        f'{codes_list(codes)}<form method="post" action="{escape(action)}">{hidden_fields(hidden)}'
        '<button type="submit">I have kept them, go on</button></form>'
    )


def codes_link(codes: Sequence[str], onward: str) -> str:
    """The same with a link."""
    return f'{codes_list(codes)}<a class="button" href="{escape(onward)}">I have kept them, go on</a>'


def _qr(uri: str) -> str:
    drawn = segno.make(uri, error="m", micro=False)
    label = "QR code for an authenticator app; the same key stands below as text"
    svg: str = drawn.svg_inline(border=2, svgclass="qr", lineclass=None, omitsize=True, light="#fff")
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
