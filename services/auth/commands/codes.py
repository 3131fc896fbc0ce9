"""Authorization codes: a minute long, used once, for one client, URI and verifier."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from services.auth import protocol
from services.auth.commands import grants as grant_commands
from services.auth.commands.browser import Session
from services.auth.commands.grants import Entry
from services.auth.opaque import Handle
from services.auth.resources import Target
from services.auth.store import flows, grants

PREFIX = "ac_"
LIFE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asked for and a user allowed."""

    client_id: UUID
    redirect_uri: str
    challenge: str
    scope: frozenset[str]
    nonce: str | None = None
    jkt: str | None = None
    resource: list[str] | None = None


async def give(tx: Transaction, asked: Asked, session: Session) -> str:
    """Make a code for what the user of a session allowed."""
    code = Handle.make(PREFIX, tx.tenant_id)
    await flows.add_code(
        tx,
        code.digest,
        tx.context.now + LIFE,
        client_id=asked.client_id,
        user_id=session.user_id,
        redirect_uri=asked.redirect_uri,
        challenge=asked.challenge,
        scope=sorted(asked.scope),
        nonce=asked.nonce,
        jkt=asked.jkt,
        resource=asked.resource,
        auth_time=session.since,
        amr=list(session.amr),
        upstream_id=session.upstream_id,
    )
    return code.text


async def redeem(
    tx: Transaction, client: Row, form: dict[str, str], jkt: str | None, target: Target, lifetime: timedelta
) -> tuple[Entry, Row] | None:
    """Exchange a code; returns what it gives and the code, or None where it is refused.

    A second use revokes what the first gave if it is right but for being the second (OAuth 2.1, 7.5.2): who has caught a
    code, and neither verifier nor key, ends nothing by it. The transaction must be committed either way.

    Raises:
        OAuthError: the token is asked for a resource that the user did not allow; the code stays usable.
    """
    presented = Handle.read(PREFIX, form.get("code", ""))
    if presented is None or presented.tenant_id != tx.tenant_id:
        return None
    code = await flows.lock_code(tx, presented.digest)
    if code is None or code["client_id"] != client["id"] or not _fits(code, form, jkt):
        return None
    if code["used_at"] is not None:
        await _revoke(tx, code)
        return None
    if code["expires_at"] <= tx.context.now:
        return None
    entry = await grant_commands.open_given(
        tx, client, code, method="authorization_code", lifetime=lifetime, jkt=jkt, target=target
    )
    if entry is None:
        return None
    await flows.use_code(tx, presented.digest, entry.grant_id)
    return entry, code


def _fits(code: Row, form: dict[str, str], jkt: str | None) -> bool:
    return (
        form.get("redirect_uri") == code["redirect_uri"]
        and protocol.verifies(form.get("code_verifier", ""), code["challenge"])
        and code["jkt"] in (None, jkt)
    )


async def _revoke(tx: Transaction, code: Row) -> None:
    grant = await grants.lock_grant(tx, code["grant_id"]) if code["grant_id"] else None
    if grant is not None and grant["revoked_at"] is None:
        await grant_commands.revoke(tx, grant, "reuse")
