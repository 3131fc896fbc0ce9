"""Indicators: what a validation counted, what a run's end makes of it, and the thresholds that people set."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg import UniqueViolationError
from prometheus_client import Counter

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions import store as definitions
from libs.common.errors import Conflict, FieldProblem, Invalid
from libs.common.events.envelope import Event
from libs.common.events.runner import RunEnded
from libs.common.events.validator import IndicatorChanged, ThresholdChanged, ValidationCompleted
from libs.common.http.door import require_revision
from libs.common.ids import derived_id, uuid7
from libs.common.vocabulary.indicators import ThresholdSpec
from services.validator.indicators import store
from services.validator.indicators.measures import (
    Ending,
    FieldCounts,
    Measurement,
    PhaseCounts,
    RuleFailures,
    measurements,
    millionths,
)
from services.validator.indicators.states import STATES, Standing, Threshold, choose, judge
from services.validator.indicators.store import Reading
from services.validator.indicators.trend import RUNS, trend
from services.validator.jail.broker import Measures

MEASURED = Counter("regent_indicator_values_total", "Values of indicators", ["metric"])
CHANGES = Counter("regent_indicator_changes_total", "Indicators that changed their state", ["metric", "state"])


async def keep_counts(tx: Transaction, completed: ValidationCompleted, measures: Measures) -> None:
    """Keep what a validation counted until its run ends; what the schema implies is counted by field."""
    rules = [
        RuleFailures(id=rule.rule_id, name=rule.name, failed=measures.rules.get(rule.rule_id, 0))
        for rule in completed.counts
        if not rule.rule_id.startswith("schema:")
    ]
    counts = PhaseCounts(
        rows=completed.rows,
        warned=measures.warned,
        corrected=measures.corrected,
        rules=tuple(rules),
        fields=tuple(FieldCounts(**field.model_dump()) for field in measures.fields),
    )
    await store.keep_counts(tx, completed.run_id, completed.phase, counts.model_dump(mode="json"))


async def on_run_ended(tx: Transaction, event: Event) -> None:
    """Take a run into the indicators of its report, once; samples, backtests, corrections and what was cancelled are not."""
    data = RunEnded.model_validate(event.data)
    counted = await store.take_counts(tx, data.run_id)
    if data.kind != "report" or data.after == "cancelled":
        return
    phases = {phase: PhaseCounts.model_validate(counts) for phase, counts in counted.items()}
    found = measurements(_ending(data, event.time), phases)
    if found and await store.first_time(tx, data.run_id):
        await _take(tx, data, found)


def _ending(data: RunEnded, ended_at: datetime) -> Ending:
    return Ending(
        run_id=data.run_id,
        report_id=data.report_id,
        business_date=data.business_date,
        records_in=data.records_in,
        records_held=data.records_held,
        ended_at=ended_at,
        due_at=data.nominal_time,
        out=data.after in ("succeeded", "partial"),
    )


async def _take(tx: Transaction, run: RunEnded, found: Sequence[Measurement]) -> None:
    by_id = {_id(tx, run.report_id, one): one for one in found}
    keys: dict[UUID, tuple[str, str, str]] = {id_: (one.metric, one.phase, one.subject) for id_, one in by_id.items()}
    thresholds = await store.thresholds_for(tx, run.report_id)
    readings = []
    for row in await store.lock(tx, run.report_id, keys, RUNS - 1):
        measured = by_id[row["id"]]
        threshold = choose(thresholds, measured.metric, run.report_id, measured.subject)
        reading = _reading(row, measured, threshold, tx.context.now)
        MEASURED.labels(measured.metric).inc()
        if reading.state != row["state"]:
            await _tell(tx, run, measured, row["state"], reading, threshold)
        readings.append(reading)
    await store.add_values(tx, run.run_id, run.business_date, readings)


def _id(tx: Transaction, report_id: UUID, one: Measurement) -> UUID:
    return derived_id("indicator", str(tx.tenant_id), str(report_id), one.metric, one.phase, one.subject)


def _reading(row: Row, measured: Measurement, threshold: Threshold | None, now: datetime) -> Reading:
    value = millionths(measured.value)
    standing = judge(
        threshold.spec if threshold else None,
        Standing(row["state"], row["better"]),
        measured.value,
        measured.denominator,
    )
    going = trend([*row["recent"], value])
    return Reading(
        id=row["id"],
        number=row["number"] + 1,
        numerator=measured.numerator,
        denominator=measured.denominator,
        value=value,
        state=standing.state,
        name=measured.name,
        better=standing.better,
        since=row["since"] if standing.state == row["state"] else now,
        threshold_id=threshold.id if threshold else None,
        previous=going.previous,
        average=going.average,
        slope=going.slope,
        runs=going.runs,
    )


async def _tell(
    tx: Transaction, run: RunEnded, measured: Measurement, before: str, reading: Reading, threshold: Threshold | None
) -> None:
    CHANGES.labels(measured.metric, reading.state).inc()
    changed = IndicatorChanged(
        indicator_id=reading.id,
        report_id=run.report_id,
        run_id=run.run_id,
        business_date=run.business_date,
        metric=measured.metric,
        phase=measured.phase,
        subject=measured.subject,
        name=measured.name,
        before=before,
        after=reading.state,
        numerator=measured.numerator,
        denominator=measured.denominator,
        threshold_id=threshold.id if threshold else None,
        threshold=threshold.spec.model_dump(mode="json") if threshold else None,
    )
    got_worse = STATES.index(changed.after) > STATES.index(changed.before)
    await tx.emit("indicator.alerted" if got_worse else "indicator.recovered", changed, entity=reading.id)


async def create_threshold(tx: Transaction, spec: ThresholdSpec) -> UUID:
    """Add a threshold; it judges from the next run on.

    Raises:
        Invalid: the rule that it names does not exist.
        Conflict: there is one of the same metric and scope.
    """
    await _require_rule(tx, spec)
    id_ = uuid7(tx.context.now)
    try:
        await store.add_threshold(tx, id_, spec)
    except UniqueViolationError as error:
        raise _taken() from error
    await _announce(tx, "created", id_, after=spec.model_dump(mode="json"))
    return id_


async def edit_threshold(tx: Transaction, id_: UUID, revision: int, spec: ThresholdSpec) -> None:
    """Change a threshold; it judges from the next run on.

    Raises:
        NotFound: there is no such threshold. PreconditionFailed: it changed since it was read.
        Invalid: the rule that it names does not exist. Conflict: there is one of the same metric and scope.
    """
    row = await store.lock_threshold(tx, id_)
    require_revision(revision, row["revision"])
    await _require_rule(tx, spec)
    try:
        await store.change_threshold(tx, id_, revision, spec)
    except UniqueViolationError as error:
        raise _taken() from error
    await _announce(tx, "updated", id_, before=row["spec"], after=spec.model_dump(mode="json"))


async def remove_threshold(tx: Transaction, id_: UUID) -> None:
    """Delete a threshold; what only it watched is ok from the next run on.

    Raises:
        NotFound: there is no such threshold.
    """
    row = await store.lock_threshold(tx, id_)
    await store.remove_threshold(tx, id_)
    await _announce(tx, "deleted", id_, before=row["spec"])


async def _require_rule(tx: Transaction, spec: ThresholdSpec) -> None:
    if spec.metric != "rule_failure_rate" or not spec.subject:
        return
    if await definitions.target_status(tx, "rule", UUID(spec.subject)) is None:
        problem = FieldProblem("/spec/subject", "there is no such rule")
        raise Invalid("The threshold names something that does not exist.", type="bad-reference", fields=[problem])


async def _announce(
    tx: Transaction,
    verb: str,
    id_: UUID,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    data = ThresholdChanged(threshold_id=id_, before=before, after=after)
    await tx.emit(f"indicator_threshold.{verb}", data, entity=id_)


def _taken() -> Conflict:
    problem = FieldProblem("/spec/metric", "has a threshold of this scope already")
    return Conflict("There is a threshold of the same metric and scope.", type="scope-taken", fields=[problem])
