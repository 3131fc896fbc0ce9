from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Date, DateTime, Integer, Table, Text, Uuid, delete, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions.tables import METADATA
from libs.common.errors import NotFound
from libs.common.vocabulary.indicators import ThresholdSpec
from services.validator.indicators.states import Threshold

measurement = Table(
    "measurement",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("run_id", Uuid, primary_key=True),
    Column("phase", Text, primary_key=True),
    Column("counts", JSONB),
    Column("created_at", DateTime(timezone=True)),
)
measured_run = Table(
    "measured_run",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("run_id", Uuid, primary_key=True),
    Column("measured_at", DateTime(timezone=True)),
)
indicator = Table(
    "indicator",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("report_id", Uuid),
    Column("metric", Text),
    Column("phase", Text),
    Column("subject", Text),
    Column("name", Text),
    Column("state", Text),
    Column("better", Integer),
    Column("since", DateTime(timezone=True)),
    Column("threshold_id", Uuid),
    Column("number", BigInteger),
    Column("numerator", BigInteger),
    Column("denominator", BigInteger),
    Column("value", BigInteger),
    Column("previous", BigInteger),
    Column("average", BigInteger),
    Column("slope", BigInteger),
    Column("runs", Integer),
    Column("run_id", Uuid),
    Column("business_date", Date),
    Column("measured_at", DateTime(timezone=True)),
)
indicator_value = Table(
    "indicator_value",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("indicator_id", Uuid, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("run_id", Uuid),
    Column("business_date", Date),
    Column("numerator", BigInteger),
    Column("denominator", BigInteger),
    Column("value", BigInteger),
    Column("state", Text),
    Column("measured_at", DateTime(timezone=True)),
)
indicator_threshold = Table(
    "indicator_threshold",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("metric", Text),
    Column("report_id", Uuid),
    Column("subject", Text),
    Column("spec", JSONB),
    Column("revision", Integer),
    Column("created_at", DateTime(timezone=True)),
    Column("created_by", Text),
    Column("changed_at", DateTime(timezone=True)),
)
_T = indicator_threshold.c
THRESHOLD = (_T.id, _T.spec, _T.revision, _T.created_at, _T.created_by, _T.changed_at)
"""A threshold as it is shown."""

KEPT = 1000
"""How many values of an indicator are kept, the newest."""

# in one order everywhere, so that two transactions never wait for each other
_ENSURE = """
INSERT INTO indicator (tenant_id, id, report_id, metric, phase, subject, since)
SELECT $1, id, $2, metric, phase, subject, $3
FROM unnest($4::uuid[], $5::text[], $6::text[], $7::text[]) AS given (id, metric, phase, subject) ORDER BY id
ON CONFLICT DO NOTHING
"""
_LOCK = """
SELECT i.id, i.state, i.better, i.since, i.number, ARRAY(
    SELECT v.value FROM indicator_value v
    WHERE v.tenant_id = $1 AND v.indicator_id = i.id AND v.number > i.number - $3 ORDER BY v.number) AS recent
FROM indicator i WHERE i.tenant_id = $1 AND i.id = ANY($2::uuid[]) ORDER BY i.id FOR UPDATE OF i
"""
_UPDATE = """
UPDATE indicator i SET number = n.number, numerator = n.numerator, denominator = n.denominator, value = n.value,
    state = n.state, name = n.name, better = n.better, since = n.since, threshold_id = n.threshold_id,
    previous = n.previous, average = n.average, slope = n.slope, runs = n.runs,
    run_id = $2, business_date = $3, measured_at = $4
FROM unnest($5::uuid[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::int[],
            $13::timestamptz[], $14::uuid[], $15::bigint[], $16::bigint[], $17::bigint[], $18::int[])
     AS n (id, number, numerator, denominator, value, state, name, better, since, threshold_id, previous, average,
           slope, runs)
WHERE i.tenant_id = $1 AND i.id = n.id
"""
_ADD = """
INSERT INTO indicator_value (tenant_id, indicator_id, number, run_id, business_date, numerator, denominator, value,
                             state, measured_at)
SELECT $1, n.id, n.number, $2, $3, n.numerator, n.denominator, n.value, n.state, $4
FROM unnest($5::uuid[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[])
     AS n (id, number, numerator, denominator, value, state)
"""
_FORGET = """
DELETE FROM indicator_value v USING unnest($2::uuid[], $3::bigint[]) AS n (id, number)
WHERE v.tenant_id = $1 AND v.indicator_id = n.id AND v.number <= n.number - $4
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """An indicator after one more value, in the order of the update's columns."""

    id: UUID
    number: int
    numerator: int
    denominator: int
    value: int
    state: str
    name: str
    better: int
    since: datetime
    threshold_id: UUID | None
    previous: int | None
    average: int
    slope: int | None
    runs: int


async def keep_counts(tx: Transaction, run_id: UUID, phase: str, counts: dict[str, Any]) -> None:
    """Keep what a validation counted until the run's end; what was kept first stays."""
    values = {"run_id": run_id, "phase": phase, "counts": counts, "created_at": tx.context.now}
    await tx.execute(insert(measurement).values(tenant_id=tx.tenant_id, **values).on_conflict_do_nothing())


async def take_counts(tx: Transaction, run_id: UUID) -> dict[str, Any]:
    """Return what was counted in a run, by phase, and keep it no longer."""
    columns = measurement.c
    rows = await tx.rows(delete(measurement).where(columns.run_id == run_id).returning(columns.phase, columns.counts))
    return {row["phase"]: row["counts"] for row in rows}


async def first_time(tx: Transaction, run_id: UUID) -> bool:
    """Note that a run's end is measured; false where it was before."""
    statement = insert(measured_run).values(tenant_id=tx.tenant_id, run_id=run_id, measured_at=tx.context.now)
    return bool(await tx.execute(statement.on_conflict_do_nothing()))


async def lock(tx: Transaction, report_id: UUID, keys: dict[UUID, tuple[str, str, str]], recent: int) -> Sequence[Row]:
    """Return indicators, made where they are new, locked, with their last `recent` values, oldest first.

    `keys` gives metric, phase and subject by id.
    """
    metrics, phases, subjects = zip(*keys.values(), strict=True)
    ids = list(keys)
    await tx.connection.execute(_ENSURE, tx.tenant_id, report_id, tx.context.now, ids, metrics, phases, subjects)
    rows: Sequence[Row] = await tx.connection.fetch(_LOCK, tx.tenant_id, ids, recent)
    return rows


async def add_values(tx: Transaction, run_id: UUID, business_date: date, readings: Sequence[Reading]) -> None:
    """Add one value to each indicator; the oldest beyond `KEPT` go."""
    columns = list(zip(*map(astuple, readings), strict=True))
    common = (tx.tenant_id, run_id, business_date, tx.context.now)
    await tx.connection.execute(_UPDATE, *common, *columns)
    await tx.connection.execute(_ADD, *common, *columns[:6])
    await tx.connection.execute(_FORGET, tx.tenant_id, *columns[:2], KEPT)


async def thresholds_for(tx: Transaction, report_id: UUID) -> list[Threshold]:
    """Return the thresholds that may apply to a report."""
    fitting = or_(_T.report_id.is_(None), _T.report_id == report_id)
    rows = await tx.rows(select(_T.id, _T.spec).where(fitting))
    return [Threshold(row["id"], ThresholdSpec.model_validate(row["spec"])) for row in rows]


async def add_threshold(tx: Transaction, id_: UUID, spec: ThresholdSpec) -> None:
    """Add a threshold."""
    now = tx.context.now
    common = {"tenant_id": tx.tenant_id, "created_at": now, "created_by": tx.context.actor, "changed_at": now}
    await tx.execute(insert(indicator_threshold).values(id=id_, revision=1, **_scope(spec), **common))


async def lock_threshold(tx: Transaction, id_: UUID) -> Row:
    """Return a threshold, locked.

    Raises:
        NotFound: the tenant has none of that id.
    """
    return _found(await tx.row(select(*THRESHOLD).where(_T.id == id_).with_for_update()))


async def find_threshold(tx: Transaction, id_: UUID) -> Row:
    """Return a threshold as it is shown.

    Raises:
        NotFound: the tenant has none of that id.
    """
    return _found(await tx.row(select(*THRESHOLD).where(_T.id == id_)))


async def change_threshold(tx: Transaction, id_: UUID, revision: int, spec: ThresholdSpec) -> None:
    """Change a threshold and give it its next revision."""
    values = {"revision": revision + 1, "changed_at": tx.context.now, **_scope(spec)}
    await tx.execute(update(indicator_threshold).where(_T.id == id_).values(**values))


async def remove_threshold(tx: Transaction, id_: UUID) -> None:
    """Delete a threshold; its events stay."""
    await tx.execute(delete(indicator_threshold).where(_T.id == id_))


def _scope(spec: ThresholdSpec) -> dict[str, Any]:
    shown = {"metric": spec.metric, "report_id": spec.report_id, "subject": spec.subject}
    return {**shown, "spec": spec.model_dump(mode="json")}


def _found(row: Row | None) -> Row:
    if row is None:
        raise NotFound("There is no such threshold.")
    return row
