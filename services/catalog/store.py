from uuid import UUID

from sqlalchemy import Column, DateTime, Integer, LargeBinary, Table, Text, Uuid, exists, select
from sqlalchemy.dialects.postgresql import insert

from libs.common.database.transaction import Transaction
from libs.common.definitions.tables import METADATA, dependent, reference

secret = Table(
    "secret",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("definition_id", Uuid, primary_key=True),
    Column("sealed", LargeBinary),
    Column("changed_at", DateTime(timezone=True)),
)
lease = Table(
    "lease",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("run_id", Uuid, primary_key=True),
    Column("step", Text, primary_key=True),
    Column("connector_id", Uuid, primary_key=True),
    Column("attempt", Integer),
    Column("leased_at", DateTime(timezone=True)),
)


async def put_secret(tx: Transaction, definition_id: UUID, sealed: bytes) -> None:
    """Keep a sealed secret, in place of an earlier one."""
    values = {"sealed": sealed, "changed_at": tx.context.now}
    statement = insert(secret).values(tenant_id=tx.tenant_id, definition_id=definition_id, **values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["tenant_id", "definition_id"], set_=values))


async def find_secret(tx: Transaction, definition_id: UUID) -> bytes | None:
    """Return a sealed secret."""
    sealed: bytes | None = await tx.value(select(secret.c.sealed).where(secret.c.definition_id == definition_id))
    return sealed


async def uses(tx: Transaction, report_id: UUID, number: int, connector_id: UUID) -> bool:
    """Say whether a published report version refers to a connector."""
    columns = reference.c
    found = (
        (columns.definition_id == report_id)
        & (columns.number == number)
        & (columns.target_id == connector_id)
        & (columns.target_kind == "connector")
    )
    return bool(await tx.value(select(exists().where(found))))


async def add_lease(tx: Transaction, run_id: UUID, step: str, attempt: int, connector_id: UUID) -> bool:
    """Note a lease; false where this attempt or a later one has had its own."""
    values = {"attempt": attempt, "leased_at": tx.context.now}
    statement = insert(lease).values(
        tenant_id=tx.tenant_id, run_id=run_id, step=step, connector_id=connector_id, **values
    )
    return bool(
        await tx.execute(
            statement.on_conflict_do_update(
                index_elements=["tenant_id", "run_id", "step", "connector_id"],
                set_=values,
                where=lease.c.attempt < attempt,
            )
        )
    )


async def put_dependent(tx: Transaction, report_id: UUID, schedule_id: UUID, name: str, *, gone: bool) -> None:
    """Note that a schedule depends on a report."""
    values = {"name": name, "archived": gone}
    statement = insert(dependent).values(
        tenant_id=tx.tenant_id, target_id=report_id, kind="schedule", id=schedule_id, **values
    )
    await tx.execute(statement.on_conflict_do_update(index_elements=["tenant_id", "target_id", "id"], set_=values))
