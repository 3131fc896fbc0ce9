"""Device authorization (RFC 8628): a device waits while a person allows it in a browser elsewhere."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from libs.common.database.transaction import Row, Transaction
from services.auth.commands import browser
from services.auth.commands import grants as grant_commands
from services.auth.commands.browser import Session
from services.auth.commands.grants import Entry
from services.auth.opaque import Handle
from services.auth.protocol import OAuthError
from services.auth.resources import Target
from services.auth.store import devices

PREFIX = "dc_"
LIFE = timedelta(minutes=10)
WAIT = 5
"""Seconds between two polls."""

_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_LENGTH = 8

Mark = Callable[[str], bytes]
"""Returns the keyed hash under which a user code is kept."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The code that the device polls with, and the one that a person types."""

    device_code: str
    user_code: str


def typed(text: str) -> str:
    """Return a user code as it is compared: letters alone, capital."""
    return "".join(letter for letter in text.upper() if letter.isalnum())


async def begin(tx: Transaction, client: Row, scope: frozenset[str], target: Target, mark: Mark) -> Begun:
    """Let a device wait for a person."""
    code = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
    handle = Handle.make(PREFIX, tx.tenant_id)
    expires = tx.context.now + LIFE
    asked = {"client_id": client["id"], "scope": sorted(scope), "resource": target.resource}
    await devices.add(tx, handle.digest, mark(code), expires, wait=WAIT, **asked)
    return Begun(handle.text, f"{code[:4]}-{code[4:]}")


async def decide(tx: Transaction, waiting: Row, session: Session, decision: Literal["allowed", "denied"]) -> None:
    """Note what a person decided on a device that waits."""
    status = "approved" if decision == "allowed" else "denied"
    known = {"user_id": session.user_id, "auth_time": session.since, "amr": list(session.amr)}
    await devices.change(tx, waiting["sha256"], status=status, upstream_id=session.upstream_id, **known)
    await browser.say_authorized(tx, waiting["client_id"], session.user_id, frozenset(waiting["scope"]), decision)


async def poll(
    tx: Transaction, client: Row, text: str, lifetime: timedelta, jkt: str | None, target: Target
) -> tuple[Entry, Row] | OAuthError:
    """Return what a device gets now, once, or why it gets nothing yet or ever.

    Raises:
        OAuthError: the token is asked for a resource that the user did not allow; the code stays usable.
    """
    handle = Handle.read(PREFIX, text)
    row = None
    if handle is not None and handle.tenant_id == tx.tenant_id:
        row = await devices.lock_by_code(tx, handle.digest)
    if row is None or row["client_id"] != client["id"] or row["status"] == "used":
        return OAuthError("invalid_grant", "the device code is unknown, used or another client's")
    if row["expires_at"] <= tx.context.now:
        return OAuthError("expired_token", "nobody allowed it in time")
    if row["status"] == "denied":
        return OAuthError("access_denied", "the user did not allow it")
    if row["status"] == "pending":
        return await _not_yet(tx, row)
    entry = await grant_commands.open_given(
        tx, client, row, method="device_code", lifetime=lifetime, jkt=jkt, target=target
    )
    await devices.change(tx, row["sha256"], status="used")
    return (entry, row) if entry else OAuthError("access_denied", "the user is shut out")


async def _not_yet(tx: Transaction, row: Row) -> OAuthError:
    polled, wait = row["polled_at"], row["wait"]
    hasty = polled is not None and tx.context.now - polled < timedelta(seconds=wait)
    await devices.change(tx, row["sha256"], polled_at=tx.context.now, wait=wait + WAIT if hasty else wait)
    if hasty:
        return OAuthError("slow_down", "wait five seconds more between two polls")
    return OAuthError("authorization_pending", "nobody has allowed it yet")
