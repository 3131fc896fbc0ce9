"""Device authorization (RFC 8628): a device waits while a person allows it in a browser elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from libs.common.database.transaction import Row, Transaction
from services.auth.commands import browser
from services.auth.commands.browser import Session
from services.auth.opaque import Handle, digest
from services.auth.store import devices
from services.auth.throttle import Throttle

PREFIX = "dc_"
LIFE = timedelta(minutes=10)
WAIT = 5
"""Seconds between two polls."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A device's request, as the core asks about it."""

    row: Row
    now: datetime

    def get_client_id(self) -> str:
        """Return whose device it is."""
        return str(self.row["client_id"])

    def get_scope(self) -> str:
        """Return what it asks for."""
        return " ".join(self.row["scope"])

    def get_user_code(self) -> "Waiting":
        """Return what the decision is looked up by: itself; nobody knows the code that was typed."""
        return self

    def is_expired(self) -> bool:
        """Say whether nobody allowed it in time."""
        expires: datetime = self.row["expires_at"]
        return expires <= self.now


def mark(throttle: Throttle, code: str) -> bytes:
    """Return the keyed hash under which a user code is kept, however it is typed."""
    return throttle.mark("user-code", "".join(letter for letter in code.upper() if letter.isalnum()))


async def begin(tx: Transaction, device_code: str, user_mark: bytes, asked: Mapping[str, Any]) -> None:
    """Let a device wait for a person; `asked` are its client, and the scope and resources that it asks for."""
    await devices.add(tx, digest(device_code), user_mark, tx.context.now + LIFE, wait=WAIT, **asked)


async def decide(tx: Transaction, waiting: Row, session: Session, decision: Literal["allowed", "denied"]) -> None:
    """Note what a person decided on a device that waits."""
    status = "approved" if decision == "allowed" else "denied"
    known = {"user_id": session.user_id, "auth_time": session.since, "amr": list(session.amr)}
    await devices.change(tx, waiting["sha256"], status=status, upstream_id=session.upstream_id, **known)
    await browser.say_authorized(tx, waiting["client_id"], session.user_id, frozenset(waiting["scope"]), decision)


async def find(tx: Transaction, client: Row, text: str) -> Waiting | None:
    """Return the request that waits under a client's code, locked; None where it is no code, or was used."""
    handle = Handle.read(PREFIX, text)
    if handle is None or handle.tenant_id != tx.tenant_id:
        return None
    row = await devices.lock_by_code(tx, handle.digest)
    if row is None or row["client_id"] != client["id"] or row["status"] == "used":
        return None
    return Waiting(row, tx.context.now)


async def is_hasty(tx: Transaction, row: Row) -> bool:
    """Note a poll that nobody has decided on yet; says whether it came too early, and the next has to wait longer."""
    polled, wait = row["polled_at"], row["wait"]
    hasty = polled is not None and tx.context.now - polled < timedelta(seconds=wait)
    await devices.change(tx, row["sha256"], polled_at=tx.context.now, wait=wait + WAIT if hasty else wait)
    return hasty
