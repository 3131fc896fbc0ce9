"""What belongs to a run: steps, balances, verdicts, artifacts, deliveries, progress."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Table, insert, select, update

from libs.common.database.transaction import Row, Transaction
from services.runner.domain.ledger import Balance
from services.runner.domain.steps import EVERY_STEP
from services.runner.store.tables import artifact, delivery, ledger, progress, step, transformation, validation

_PROGRESS = """
INSERT INTO progress (tenant_id, run_id, position, name, at, data)
SELECT $1, $2, last.position + given.place, given.name, $3, given.data
FROM unnest($4::text[], $5::jsonb[]) WITH ORDINALITY AS given (name, data, place),
  (SELECT coalesce(max(position), 0) AS position FROM progress WHERE tenant_id = $1 AND run_id = $2) AS last
"""
_STEP_AND_BALANCE = """
WITH ended AS (
  INSERT INTO run_step (tenant_id, run_id, step, status, attempt, started_at, ended_at, outputs, facts, reused_from)
  VALUES ($1, $2, $3, 'sealed', $4, $5, $6, $7, $8, $9)
)
INSERT INTO ledger (tenant_id, run_id, step, position, records_in, created, records_out, held, rejected, filtered,
  duplicate, merged)
VALUES ($1, $2, $3, $10, $11, $12, $13, $14, $15, $16, $17, $18)
"""


async def _of(tx: Transaction, table: Table, run_id: UUID, *order: Any) -> Sequence[Row]:
    return await tx.rows(select(table).where(table.c.run_id == run_id).order_by(*order))


async def steps(tx: Transaction, run_id: UUID) -> Sequence[Row]:
    """Return a run's ended steps, oldest first."""
    rows = await _of(tx, step, run_id, step.c.ended_at)
    return sorted(rows, key=lambda row: EVERY_STEP.index(row["step"]))


async def add_step(tx: Transaction, run_id: UUID, name: str, **values: Any) -> None:
    """Add a step that has ended."""
    await tx.execute(insert(step).values(tenant_id=tx.tenant_id, run_id=run_id, step=name, **values))


async def balances(tx: Transaction, run_id: UUID) -> list[tuple[str, Balance]]:
    """Return a run's balances by step, in order."""
    rows = await _of(tx, ledger, run_id, ledger.c.position)
    return [(row["step"], Balance(**{name: row[name] for name in Balance.__slots__})) for row in rows]


async def add_sealed(tx: Transaction, run_id: UUID, name: str, balance: Balance, row: dict[str, Any]) -> None:
    """Add a sealed step and its balance, in one statement; `row` is the step's as `steps` returns it."""
    columns = ("attempt", "started_at", "ended_at", "outputs", "facts", "reused_from")
    values = [tx.tenant_id, run_id, name, *(row[column] for column in columns), EVERY_STEP.index(name) + 1]
    await tx.connection.execute(_STEP_AND_BALANCE, *values, *balance.as_dict().values())


async def validations(tx: Transaction, run_id: UUID) -> dict[str, Row]:
    """Return a run's validations by phase."""
    return {row["phase"]: row for row in await _of(tx, validation, run_id, validation.c.phase)}


async def add_validation(tx: Transaction, run_id: UUID, phase: str, **values: Any) -> None:
    """Add a validation that was asked for (or is taken over from another run)."""
    await tx.execute(insert(validation).values(tenant_id=tx.tenant_id, run_id=run_id, phase=phase, **values))


async def end_validation(tx: Transaction, run_id: UUID, request_id: UUID, status: str, verdict: Any) -> bool:
    """Record a verdict once; return whether the request was open."""
    columns = validation.c
    statement = (
        update(validation)
        .where(columns.run_id == run_id, columns.request_id == request_id, columns.status == "requested")
        .values(status=status, ended_at=tx.context.now, verdict=verdict)
    )
    return await tx.execute(statement) == 1


async def transformation_of(tx: Transaction, run_id: UUID) -> Row | None:
    """Return what a run asked of its report's own code, and what came of it; or None."""
    return await tx.row(select(transformation).where(transformation.c.run_id == run_id))


async def add_transformation(tx: Transaction, run_id: UUID, **values: Any) -> None:
    """Add a transformation that was asked for."""
    await tx.execute(insert(transformation).values(tenant_id=tx.tenant_id, run_id=run_id, status="requested", **values))


async def end_transformation(tx: Transaction, run_id: UUID, request_id: UUID, status: str, result: Any) -> bool:
    """Record what came of a transformation once; return whether it was open."""
    columns = transformation.c
    statement = (
        update(transformation)
        .where(columns.run_id == run_id, columns.request_id == request_id, columns.status == "requested")
        .values(status=status, ended_at=tx.context.now, result=result)
    )
    return await tx.execute(statement) == 1


async def artifacts(tx: Transaction, run_id: UUID) -> Sequence[Row]:
    """Return a run's artifacts."""
    return await _of(tx, artifact, run_id, artifact.c.name)


async def artifact_of(tx: Transaction, artifact_id: UUID) -> Row | None:
    """Return an artifact, or None."""
    return await tx.row(select(artifact).where(artifact.c.id == artifact_id))


async def add_artifact(tx: Transaction, **values: Any) -> None:
    """Add a rendered artifact."""
    await tx.execute(insert(artifact).values(tenant_id=tx.tenant_id, created_at=tx.context.now, **values))


async def deliveries(tx: Transaction, run_id: UUID) -> Sequence[Row]:
    """Return a run's deliveries."""
    return await _of(tx, delivery, run_id, delivery.c.created_at, delivery.c.id)


async def add_delivery(tx: Transaction, **values: Any) -> None:
    """Add a delivery that is to be made."""
    await tx.execute(
        insert(delivery).values(tenant_id=tx.tenant_id, created_at=tx.context.now, status="pending", **values)
    )


async def end_delivery(tx: Transaction, delivery_id: UUID, status: str, **values: Any) -> bool:
    """End a pending delivery; return whether it was pending."""
    columns = delivery.c
    statement = update(delivery).where(columns.id == delivery_id, columns.status == "pending")
    return await tx.execute(statement.values(status=status, ended_at=tx.context.now, **values)) == 1


class _News:
    """What followers of one run will see of a transaction, written at its end in one statement."""

    def __init__(self, tx: Transaction, run_id: UUID) -> None:
        self._tx, self._run_id = tx, run_id
        self.names: list[str] = []
        self.data: list[Any] = []

    async def __call__(self) -> None:
        tx = self._tx
        await tx.connection.execute(_PROGRESS, tx.tenant_id, self._run_id, tx.context.now, self.names, self.data)


def add_progress(tx: Transaction, run_id: UUID, name: str, data: Any) -> None:
    """Add what followers see; the caller holds the run's row."""
    news = tx.at_end.setdefault(("progress", run_id), _News(tx, run_id))
    if isinstance(news, _News):
        news.names.append(name)
        news.data.append(data)


async def progress_after(tx: Transaction, run_id: UUID, position: int) -> Sequence[Row]:
    """Return what followers have not seen yet, at most 500."""
    columns = progress.c
    statement = select(columns.position, columns.name, columns.at, columns.data)
    return await tx.rows(
        statement.where(columns.run_id == run_id, columns.position > position).order_by(columns.position).limit(500)
    )
