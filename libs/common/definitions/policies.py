"""The tenant's publication policy: catalog's to change, everybody's to keep a copy of."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions.tables import policy
from libs.common.events.definitions import PolicyChanged
from libs.common.events.envelope import Event
from libs.common.vocabulary.policies import PublicationPolicy

_NAMES = tuple(PublicationPolicy.model_fields)


async def find_policy(tx: Transaction) -> Row | None:
    """Return the tenant's policy with its revision, or None where nothing was ever said."""
    return await tx.row(select(policy))


async def policy_of(tx: Transaction) -> PublicationPolicy:
    """Return what the tenant asks of drafts; nothing, unless it was said otherwise."""
    return as_policy(await find_policy(tx))


def as_policy(row: Row | None) -> PublicationPolicy:
    """Return a row as the policy that it holds."""
    return (
        PublicationPolicy() if row is None else PublicationPolicy.model_validate({name: row[name] for name in _NAMES})
    )


async def keep_policy(tx: Transaction, given: PublicationPolicy, revision: int, by: str) -> None:
    """Keep a policy; an older revision than the kept one changes nothing."""
    values: dict[str, Any] = {
        **given.model_dump(),
        "require_backtest": list(given.require_backtest),
        "require_approval": list(given.require_approval),
        "revision": revision,
        "changed_at": tx.context.now,
        "changed_by": by,
    }
    statement = insert(policy).values(tenant_id=tx.tenant_id, **values)
    newer = policy.c.revision < revision
    await tx.execute(statement.on_conflict_do_update(index_elements=["tenant_id"], set_=values, where=newer))


async def on_policy_changed(tx: Transaction, event: Event) -> None:
    """Learn the tenant's policy."""
    data = PolicyChanged.model_validate(event.data)
    await keep_policy(tx, data.after, data.revision, event.actor)


async def hold_policy(tx: Transaction) -> None:
    """Let whoever else changes the tenant's policy wait until we commit, also before there is one."""
    await tx.connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"policy:{tx.tenant_id}")
