"""What the page of one's own account holds: factors, recovery codes, password, logins."""

from collections.abc import Sequence
from html import escape
from uuid import UUID

from libs.common.database.transaction import Row
from services.auth.api.pages import hidden_fields, paragraph, problem_text
from services.auth.commands.factors import confirmed_ones

_MOST = 20
_METHODS = {"authorization_code": "An application that you allowed", "device_code": "A device that you allowed"}
_KINDS = {"totp": "Authenticator app", "passkey": "Passkey"}
_PASSWORD_HINT = "At least 15 characters; 8 are enough while you have a second factor. Longer is better, and no rules about digits or signs."
SCRIPT = '<script src="/account/passkeys.js" defer></script>'


def overview(
    hidden: dict[str, str],
    email: str,
    tenant: str,
    held: Sequence[Row],
    codes_left: int,
    live: str,
    problem: str | None,
    done: str,
) -> str:
    """Return what somebody sees of their account, and the forms that change it; `live` is what `logins` returned."""
    said = f'<p class="good" role="status">{escape(done)}</p>' if done else ""
    return (
        f"{problem_text(problem)}{said}<p>{escape(email)}, at {escape(tenant)}</p>"
        f"{_factors(hidden, held)}{_codes(hidden, held, codes_left)}"
        '<h2>E-mail address</h2><p><a href="/account/address">Change your e-mail address</a></p>'
        '<h2>Password</h2><p><a href="/account/password">Change your password</a></p>'
        '<h2>Identity providers</h2><p><a href="/account/identities">Log in by your organisation\'s own login</a></p>'
        f"{live}{SCRIPT}"
    )


def password_form(hidden: dict[str, str], email: str, problem: str | None = None) -> str:
    """Return the form for another password; the address is there for password managers."""
    return (
        f'{problem_text(problem)}<form method="post" action="/account/password">{hidden_fields(hidden)}'
        f'<input type="hidden" autocomplete="username" name="email" value="{escape(email)}">'
        '<label for="password">Password until now</label>'
        '<input id="password" name="password" type="password" autocomplete="current-password" required>'
        '<label for="new">New password</label><input id="new" name="new" type="password" '
        'autocomplete="new-password" aria-describedby="hint" required>'
        f'<p class="soft" id="hint">{_PASSWORD_HINT}</p>'
        "<p>Your other logins end, and you get a mail about it.</p>"
        '<button type="submit">Change the password</button></form>' + BACK
    )


def address_form(hidden: dict[str, str], email: str, wanted: str, problem: str | None = None) -> str:
    """Return the form for another address; what was typed before stands in it."""
    return (
        f"{problem_text(problem)}<p>You log in as {escape(email)}.</p>"
        f'<form method="post" action="/account/address">{hidden_fields(hidden)}'
        '<label for="email">New e-mail address</label><input id="email" name="email" type="email" autocomplete="email" '
        f'value="{escape(wanted)}" aria-describedby="hint" required>'
        '<p class="soft" id="hint">A link is sent there; the address counts once it was opened, and the old one is told.</p>'
        '<label for="password">Your password</label>'
        '<input id="password" name="password" type="password" autocomplete="current-password" required>'
        '<button type="submit">Send the link</button></form>' + BACK
    )


BACK = '<p><a href="/account">Back to your account</a></p>'


def _factors(hidden: dict[str, str], held: Sequence[Row]) -> str:
    confirmed = confirmed_ones(held)
    items = "".join(_factor(hidden, one) for one in confirmed)
    shown = f'<ul class="list">{items}</ul>' if confirmed else paragraph("You log in with your password alone.")
    app = _asking("/account/app", hidden, "Add an authenticator app", "Go on", "app")
    key = _asking("/account/passkey", hidden, "Add a passkey", "Go on", "passkey")
    return (
        f"<h2>Second factor</h2>{paragraph('A phone, a security key or this device beside your password.')}{shown}"
        f"{app}<div data-scripted hidden>{key}</div>"
    )


def _factor(hidden: dict[str, str], one: Row) -> str:
    since = one["confirmed_at"].date().isoformat()
    kind = _KINDS[one["kind"]]
    name = f" “{escape(one['name'])}”" if one["name"] not in (kind, "Authenticator") else ""
    bound = {**hidden, "id": str(one["id"])}
    removal = _asking("/account/remove", bound, "Remove", "Remove it", f"remove-{one['id']}")
    return f"<li><strong>{kind}</strong>{name} <small>since {since}</small>{removal}</li>"


def _codes(hidden: dict[str, str], held: Sequence[Row], left: int) -> str:
    if not confirmed_ones(held):
        return ""
    said = paragraph(f"You have {left} left. Each opens your account once if your phone or passkey is lost.")
    form = _asking("/account/codes", hidden, "Make new recovery codes", "Make new ones", "codes")
    return f"<h2>Recovery codes</h2>{said}{form}"


def logins(hidden: dict[str, str], live: Sequence[Row], own: UUID) -> str:
    """Return somebody's logins, newest first, each with a form that ends it; `own` is the one that asks."""
    newest = sorted(live, key=lambda one: one["last_used_at"], reverse=True)[:_MOST]
    items = "".join(_login(hidden, one, own) for one in newest)
    return (
        f'<h2>Logins</h2><ul class="list">{items}</ul><form method="post" action="/account/logout">{hidden_fields(hidden)}'
        '<button type="submit" name="where" value="here" class="other">Log out</button>'
        '<button type="submit" name="where" value="everywhere" class="other">Log out everywhere</button></form>'
    )


def _login(hidden: dict[str, str], one: Row, own: UUID) -> str:
    kind = _METHODS.get(one["method"], "A login")
    at = f"from {escape(one['address'])}, " if one["address"] else ""
    since = f"<small>{at}last used {one['last_used_at'].date().isoformat()}</small>"
    if one["id"] == own:
        return f"<li><strong>This browser</strong> {since}</li>"
    form = (
        f'<form method="post" action="/account/end">{hidden_fields({**hidden, "id": str(one["id"])})}'
        '<button type="submit" class="other small">End it</button></form>'
    )
    return f"<li><strong>{kind}</strong> {since}{form}</li>"


def _asking(action: str, hidden: dict[str, str], summary: str, button: str, key: str) -> str:
    """Return a form that asks for the password again, folded until it is wanted."""
    return (
        f'<details><summary>{escape(summary)}</summary><form method="post" action="{escape(action)}">'
        f'{hidden_fields(hidden)}<label for="password-{key}">Your password</label>'
        f'<input id="password-{key}" name="password" type="password" autocomplete="current-password" required>'
        f'<button type="submit">{escape(button)}</button></form></details>'
    )
