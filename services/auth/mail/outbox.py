"""The mail outbox: a row in the transaction that causes the mail, sealed until it is sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import orjson
from fastapi import Request

from libs.common.crypto.vault import Vault
from libs.common.database.transaction import Row, Transaction
from libs.common.ids import uuid7
from services.auth.mail.templates import TEMPLATES
from services.auth.store import mails
from services.auth.throttle import Throttle

_PLACE = {"table": "mail", "column": "sealed"}


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to be: to whom, which template, its variables."""

    template: str
    to: str
    values: Mapping[str, str]


class Outbox:
    """Writes mails down and reads them back; holds what account flows need to write links."""

    def __init__(self, vault: Vault, throttle: Throttle, public_url: str) -> None:
        self.vault = vault
        self.throttle = throttle
        self._public_url = public_url.rstrip("/")

    def link(self, path: str, token: str) -> str:
        """Return a link of ours; the token stands in the fragment, which browsers send to nobody."""
        return f"{self._public_url}{path}#{token}"

    def page(self, path: str) -> str:
        """Return the address of a page of ours."""
        return f"{self._public_url}{path}"

    async def queue(
        self, tx: Transaction, letter: Letter, *, valid: timedelta | None = None, void: bool = False
    ) -> UUID:
        """Have a mail sent once the transaction is committed; it is not sent after it was `valid`.

        A void mail is written like any other and never sent: so that nobody can tell by time whether one was.
        """
        if TEMPLATES[letter.template] != letter.values.keys():
            raise ValueError(f"template {letter.template} takes {sorted(TEMPLATES[letter.template])}")
        id = uuid7(tx.context.now)  # noqa: A001
        content = orjson.dumps({"to": letter.to, "values": dict(letter.values)})
        sealed = await self.vault.seal(tx, **_PLACE, row=str(id), secret=content)
        expires = None if valid is None else tx.context.now + valid
        await mails.add(tx, id, letter.template, sealed, expires, void=void)
        return id

    async def read(self, tx: Transaction, row: Row) -> Letter:
        """Open a mail.

        Raises:
            UnreadableSecretError: its key is gone.
        """
        content = orjson.loads(await self.vault.open(tx, **_PLACE, row=str(row["id"]), sealed=row["sealed"]))
        return Letter(row["template"], content["to"], content["values"])


def outbox(request: Request) -> Outbox:
    """Return the outbox of the request's service."""
    found: Outbox = request.app.state.runtime.extras["mail"]
    return found


def shown_moment(at: datetime) -> str:
    """Return an instant as a mail shows it."""
    return at.strftime("%Y-%m-%d %H:%M UTC")
