"""Authorization codes: a minute long, used once, for one client, URI and verifier."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from libs.common.database.transaction import Row, Transaction
from services.auth.commands import grants as grant_commands
from services.auth.commands.browser import Session
from services.auth.opaque import Handle, digest
from services.auth.store import flows, grants

PREFIX = "ac_"
LIFE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Given:
    """A code that was given to a client, as the core asks about it."""

    row: Row

    @property
    def code_challenge(self) -> str:
        """What the verifier has to hash to."""
        challenge: str = self.row["challenge"]
        return challenge

    @property
    def code_challenge_method(self) -> str:
        """How: there is one way."""
        return "S256"

    def get_redirect_uri(self) -> str:
        """Return the URI that the code went to."""
        uri: str = self.row["redirect_uri"]
        return uri

    def get_scope(self) -> str:
        """Return what the user allowed."""
        return " ".join(self.row["scope"])


async def give(tx: Transaction, code: str, session: Session, asked: Mapping[str, Any]) -> None:
    """Keep a code for what the user of a session allowed: `asked` are a client, its URI, challenge and scope, and more."""
    await flows.add_code(
        tx,
        digest(code),
        tx.context.now + LIFE,
        user_id=session.user_id,
        auth_time=session.since,
        amr=list(session.amr),
        upstream_id=session.upstream_id,
        **asked,
    )


async def find(tx: Transaction, client: Row, text: str, jkt: str | None) -> Given | None:
    """Return the code that a client presents with a key, locked; None where it is no code of this client and key."""
    presented = Handle.read(PREFIX, text)
    if presented is None or presented.tenant_id != tx.tenant_id:
        return None
    row = await flows.lock_code(tx, presented.digest)
    if row is None or row["client_id"] != client["id"] or row["jkt"] not in (None, jkt):
        return None
    return Given(row)


async def usable(tx: Transaction, code: Given) -> Row | None:
    """Return what a code gives whose URI and verifier are right, or None where it gives nothing any more.

    A second use revokes what the first gave (OAuth 2.1, 7.5.2): who has caught a code, and neither verifier nor key, ends
    nothing by it. The transaction must be committed either way.
    """
    if code.row["used_at"] is not None:
        await _revoke(tx, code.row)
        return None
    return code.row if code.row["expires_at"] > tx.context.now else None


async def _revoke(tx: Transaction, code: Row) -> None:
    grant = await grants.lock_grant(tx, code["grant_id"]) if code["grant_id"] else None
    if grant is not None and grant["revoked_at"] is None:
        await grant_commands.revoke(tx, grant, "reuse")
