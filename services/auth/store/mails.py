"""Mails: written under a tenant, claimed across tenants by the mailer's role."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import insert, select, update

from libs.common.database.transaction import Row, Transaction
from services.auth.store.tables import mail

_M = mail.c
_CLAIM = """
UPDATE mail SET due_at = $2, attempts = attempts + 1
WHERE (tenant_id, id) = (SELECT tenant_id, id FROM mail WHERE state = 'waiting' AND due_at <= $1
                         ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING tenant_id, id, attempts
"""
_FORGET = "DELETE FROM mail WHERE settled_at < $1"
_LIST = """
SELECT tenant_id, id, template, state, attempts, due_at, created_at, reason FROM mail
WHERE state = $1 ORDER BY created_at, id LIMIT $2
"""


async def add(
    tx: Transaction,
    id: UUID,  # noqa: A002
    template: str,
    sealed: bytes,
    expires_at: datetime | None,
    *,
    void: bool,
) -> None:
    """Add a mail that is due at once; a void one is settled already."""
    now = tx.context.now
    values = {"tenant_id": tx.tenant_id, "id": id, "template": template, "sealed": sealed, "attempts": 0}
    state = {"state": "void", "settled_at": now} if void else {"state": "waiting", "settled_at": None}
    await tx.execute(insert(mail).values(**values, **state, due_at=now, expires_at=expires_at, created_at=now))


async def claim(mailer: Any, now: datetime, until: datetime) -> Any:
    """Take the mail that is due longest until an instant, on the mailer's connection; None where there is none."""
    return await mailer.fetchrow(_CLAIM, now, until)


async def find(tx: Transaction, id: UUID, attempts: int) -> Row | None:  # noqa: A002
    """Return a mail as it was claimed, or None where somebody else has it by now."""
    columns = (_M.id, _M.template, _M.sealed, _M.expires_at)
    return await tx.row(select(*columns).where(_M.id == id, _M.state == "waiting", _M.attempts == attempts))


async def settle(
    tx: Transaction,
    id: UUID,  # noqa: A002
    attempts: int,
    state: Literal["sent", "dead"],
    reason: str | None,
) -> bool:
    """Note how a claimed mail ended; false where somebody else has it by now. What was sent is forgotten."""
    statement = update(mail).where(
        _M.tenant_id == tx.tenant_id, _M.id == id, _M.state == "waiting", _M.attempts == attempts
    )
    content: dict[str, Any] = {"sealed": None} if state == "sent" else {}
    return bool(await tx.execute(statement.values(state=state, reason=reason, settled_at=tx.context.now, **content)))


async def postpone(tx: Transaction, id: UUID, attempts: int, due_at: datetime, reason: str) -> None:  # noqa: A002
    """Let a claimed mail be tried again later."""
    statement = update(mail).where(
        _M.tenant_id == tx.tenant_id, _M.id == id, _M.state == "waiting", _M.attempts == attempts
    )
    await tx.execute(statement.values(due_at=due_at, reason=reason))


async def revive(tx: Transaction, id: UUID) -> bool:  # noqa: A002
    """Have a dead mail tried afresh; false where there is no such."""
    statement = update(mail).where(_M.tenant_id == tx.tenant_id, _M.id == id, _M.state == "dead")
    fresh = {"state": "waiting", "attempts": 0, "due_at": tx.context.now, "settled_at": None, "reason": None}
    return bool(await tx.execute(statement.values(**fresh)))


async def forget(mailer: Any, before: datetime) -> None:
    """Remove what was settled before an instant, on the mailer's connection."""
    await mailer.execute(_FORGET, before)


async def listing(mailer: Any, state: str, limit: int) -> list[dict[str, Any]]:
    """Return the mails of a state, oldest first, without address and text, on the mailer's connection."""
    return [dict(row) for row in await mailer.fetch(_LIST, state, limit)]
