"""What every service keeps of auth's tenants: a suspended one starts nothing."""

from libs.common.database.transaction import Transaction
from libs.common.errors import Conflict
from libs.common.events.auth import TenantChanged
from libs.common.events.envelope import Event

_PUT = """
INSERT INTO tenant_state (tenant_id, status, since) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id) DO UPDATE SET status = excluded.status, since = excluded.since
WHERE tenant_state.since <= excluded.since
"""
_STATUS = "SELECT status FROM tenant_state WHERE tenant_id = $1"


class TenantSuspended(Conflict):
    """The tenant is suspended."""

    type = "tenant-suspended"
    title = "The tenant is suspended"


async def on_tenant_changed(tx: Transaction, event: Event) -> None:
    """Learn a tenant's status (`auth.tenant.created|suspended|resumed`)."""
    data = TenantChanged.model_validate(event.data)
    await tx.connection.execute(_PUT, tx.tenant_id, data.status, event.time)


async def is_active(tx: Transaction) -> bool:
    """Say whether the transaction's tenant may start things; one that nothing was heard of may."""
    status: str | None = await tx.connection.fetchval(_STATUS, tx.tenant_id)
    return status != "suspended"


async def require_active(tx: Transaction) -> None:
    """Refuse to start anything for a suspended tenant.

    Raises:
        TenantSuspended: it is.
    """
    if not await is_active(tx):
        raise TenantSuspended("Nothing starts for a suspended tenant.")
