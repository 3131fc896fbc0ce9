"""Indicators in a real database: runs come in as events, values and states come out, once each."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from sqlalchemy import select

from libs.common.bus.subscriptions import find
from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Transaction
from libs.common.errors import Conflict, Invalid, NotFound, PreconditionFailed
from libs.common.events.envelope import Event, envelope, parse
from libs.common.events.runner import RunEnded
from libs.common.events.validator import RuleCount, ValidationCompleted
from libs.common.vocabulary.indicators import ThresholdSpec
from services.validator.handlers import SUBSCRIPTIONS
from services.validator.indicators import commands, store
from services.validator.jail.broker import FieldTally, Measures

NOW = datetime(2026, 3, 9, 9, tzinfo=UTC)
RULE = "00000000-0000-4000-8000-000000000001"


@dataclass
class Reports:
    """A tenant's one report as the validator hears of it."""

    database: Database
    urls: dict[str, str]
    tenant: UUID = field(default_factory=uuid4)
    report: UUID = field(default_factory=uuid4)

    def context(self) -> Context:
        return Context(self.tenant, "user:1", NOW)

    async def threshold(self, **spec: Any) -> UUID:
        async with self.database.transaction(self.context()) as tx:
            return await commands.create_threshold(tx, ThresholdSpec.model_validate(spec))

    async def validated(self, run: UUID, failed: int, rows: int = 100) -> None:
        """Let the counts of a validation be kept, as its verdict is."""
        async with self.database.transaction(self.context()) as tx:
            await commands.keep_counts(tx, completed(run, failed, rows), measures(failed, rows))

    def ended(self, run: UUID, held: int, rows: int = 100, after: str = "partial", kind: str = "") -> Event:
        """Return the event of a run's end, half an hour after it was due."""
        data = RunEnded(
            run_id=run, report_id=self.report, business_date=date(2026, 3, 6), before="running", after=after,
            records_in=rows, records_out=rows - held, records_held=held, nominal_time=NOW - timedelta(minutes=30),
        )  # fmt: skip
        sent = envelope(
            self.context(), source="runner", name=f"run.{after}", data=data, entity=str(run), id=uuid4(), sequence=1
        )
        event = parse(sent)
        return event.model_copy(update={"data": {**event.data, **({"kind": kind} if kind else {})}})

    async def hear(self, event: Event) -> None:
        """Handle an event as the reader does."""
        handler = find(SUBSCRIPTIONS, f"evt.{self.tenant}.{event.name}")
        assert handler is not None
        async with self.database.transaction(event.context("service:validator", NOW)) as tx:
            await handler(tx, event)

    async def hear_and_die(self, event: Event) -> None:
        """Handle an event and lose everything before the commit."""
        async with self.database.transaction(self.context()) as tx:
            await commands.on_run_ended(tx, event)
            raise ConnectionError

    async def run(self, failed: int, rows: int = 100) -> UUID:
        """Let a run be validated and end."""
        run = uuid4()
        await self.validated(run, failed, rows)
        await self.hear(self.ended(run, failed, rows))
        return run

    async def indicators(self) -> dict[tuple[str, str], Any]:
        async with self.database.transaction(self.context()) as tx:
            rows = await tx.rows(select(store.indicator))
        return {(row["metric"], row["subject"]): row for row in rows}

    async def values(self, metric: str, subject: str = "") -> list[Any]:
        id_ = (await self.indicators())[metric, subject]["id"]
        columns = store.indicator_value.c
        async with self.database.transaction(self.context()) as tx:
            return list(
                await tx.rows(select(store.indicator_value).where(columns.indicator_id == id_).order_by(columns.number))
            )

    async def said(self) -> list[dict[str, Any]]:
        """Return the announced changes of indicators, in order."""
        connection = await asyncpg.connect(self.urls["validator_relay"], server_settings={"search_path": "validator"})
        rows = await connection.fetch("SELECT body FROM outbox WHERE tenant_id = $1 ORDER BY position", self.tenant)
        await connection.close()
        events = [orjson.loads(row["body"]) for row in rows]
        return [event for event in events if event["type"].startswith("validator.indicator.")]


def completed(run: UUID, failed: int, rows: int) -> ValidationCompleted:
    counts = [
        RuleCount(rule_id=id_, rule_version=1, name="positive", severity="blocking", rows=rows, passed=rows - failed,
                  failed=failed, unknown=0, errors=0)
        for id_ in (RULE, "schema:amount:type")
    ]  # fmt: skip
    return ValidationCompleted(
        run_id=run, request_id=uuid4(), phase="input", rules=(), counts=tuple(counts), rows=rows, held=failed,
        warned=0, corrected=0, seconds=0.1,
    )  # fmt: skip


def measures(failed: int, rows: int) -> Measures:
    fields = (FieldTally(name="amount", given=rows - 1, failed=failed),)
    return Measures(warned=0, corrected=0, rules={RULE: failed} if failed else {}, fields=fields)


@pytest.fixture
async def reports(databases: dict[str, str]) -> AsyncIterator[Reports]:
    async with Database.open(databases["validator_server"], service="validator", size=4) as database:
        yield Reports(database, databases)


async def test_a_run_becomes_values(reports: Reports) -> None:
    """Error, lateness, warnings, corrections, each rule of the tenant's own and each field: one value each."""
    run = await reports.run(3)
    found = await reports.indicators()
    assert {key: (row["numerator"], row["denominator"], row["value"]) for key, row in found.items()} == {
        ("error_rate", ""): (3, 100, 30_000),
        ("lateness", ""): (1800, 1, 1_800_000_000),
        ("warning_rate", ""): (0, 100, 0),
        ("correction_rate", ""): (0, 100, 0),
        ("rule_failure_rate", RULE): (3, 100, 30_000),
        ("field_completeness", "amount"): (99, 100, 990_000),
        ("field_failure_rate", "amount"): (3, 100, 30_000),
    }
    assert {row["run_id"] for row in found.values()} == {run}
    assert found["rule_failure_rate", RULE]["name"] == "positive"
    assert await reports.said() == []


async def test_an_alert_is_said_once_and_its_end_once(reports: Reports) -> None:
    """A series of runs around a threshold gives one alert and one recovery, with what they were judged by."""
    threshold = await reports.threshold(metric="error_rate", warning=0.02)
    for failed in (0, 5, 1, 5, 6, 1, 0, 0):
        await reports.run(failed)
    alerted, recovered = await reports.said()
    assert [alerted["type"], recovered["type"]] == [
        "validator.indicator.alerted.v1",
        "validator.indicator.recovered.v1",
    ]
    data = alerted["data"]
    assert (data["before"], data["after"], data["numerator"], data["denominator"]) == ("ok", "warning", 5, 100)
    assert (data["threshold_id"], data["threshold"]["warning"]) == (str(threshold), "0.02")
    assert (recovered["data"]["before"], recovered["data"]["after"]) == ("warning", "ok")
    states = [row["state"] for row in await reports.values("error_rate")]
    assert states == ["ok", "warning", "warning", "warning", "warning", "warning", "ok", "ok"]
    shown = (await reports.indicators())["error_rate", ""]
    assert (shown["runs"], shown["previous"], shown["value"]) == (8, 0, 0)
    assert shown["average"] == (50_000 + 10_000 + 50_000 + 60_000 + 10_000) // 8


async def test_the_same_end_twice_is_one_value(reports: Reports) -> None:
    """A redelivered event, also one whose first handling was cut off before its commit, gives one value and one alert."""
    await reports.threshold(metric="error_rate", warning=0.02)
    run = uuid4()
    await reports.validated(run, 5)
    event = reports.ended(run, 5)
    with pytest.raises(ConnectionError):
        await reports.hear_and_die(event)
    assert await reports.indicators() == {}
    for _ in range(3):
        await reports.hear(event)
    assert len(await reports.values("error_rate")) == 1
    assert len(await reports.values("field_completeness", "amount")) == 1
    assert len(await reports.said()) == 1


_OTHERS = [("sample", "partial"), ("backtest", "succeeded"), ("correction", "succeeded"), ("report", "cancelled")]


@pytest.mark.parametrize(("kind", "after"), _OTHERS)
async def test_other_runs_are_not_measured(reports: Reports, kind: str, after: str) -> None:
    """Samples, backtests, corrections and cancelled runs leave no value, and nothing that waits for one."""
    run = uuid4()
    await reports.validated(run, 5)
    await reports.hear(reports.ended(run, 5, after=after, kind=kind))
    assert await reports.indicators() == {}
    async with reports.database.transaction(reports.context()) as tx:
        assert await store.take_counts(tx, run) == {}


async def test_a_failed_run_is_neither_late_nor_on_time(reports: Reports) -> None:
    """What was judged before the failure counts, the time does not."""
    run = uuid4()
    await reports.validated(run, 5)
    await reports.hear(reports.ended(run, 5, after="failed"))
    found = await reports.indicators()
    assert ("lateness", "") not in found
    assert found["rule_failure_rate", RULE]["numerator"] == 5


async def test_runs_that_end_at_once_are_numbered_one_by_one(reports: Reports) -> None:
    """Two replicas that measure two runs of one report at the same time give two values in a row."""
    runs = [uuid4() for _ in range(6)]
    await asyncio.gather(*(reports.hear(reports.ended(run, number)) for number, run in enumerate(runs)))
    found = await reports.values("error_rate")
    assert [row["number"] for row in found] == [1, 2, 3, 4, 5, 6]
    assert {row["run_id"] for row in found} == set(runs)


async def test_old_values_go(reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest values are kept, so a table does not grow with the years."""
    monkeypatch.setattr(store, "KEPT", 3)
    for failed in range(5):
        await reports.run(failed)
    assert [row["numerator"] for row in await reports.values("error_rate")] == [2, 3, 4]
    assert (await reports.indicators())["error_rate", ""]["number"] == 5


async def test_the_cost_of_a_run_is_a_fixed_number_of_statements(reports: Reports) -> None:
    """A report with five hundred fields takes as many statements as one with a single one."""
    counted = []
    for fields in (1, 500):
        run = uuid4()
        many = tuple(FieldTally(name=f"field_{n}", given=n, failed=0) for n in range(fields))
        async with reports.database.transaction(reports.context()) as tx:
            await commands.keep_counts(
                tx, completed(run, 0, 1000), Measures(warned=0, corrected=0, rules={}, fields=many)
            )
        async with reports.database.transaction(reports.context()) as tx:
            spy = Spy(tx)
            await commands.on_run_ended(tx, reports.ended(run, 0))
            counted.append(spy.statements)
    assert counted[0] == counted[1] <= 8


class Spy:
    """Counts a transaction's statements."""

    def __init__(self, tx: Transaction) -> None:
        self.statements = 0
        self._connection = tx.connection
        tx.connection = self

    def __getattr__(self, name: str) -> Any:
        self.statements += name in ("execute", "fetch", "fetchrow", "fetchval")
        return getattr(self._connection, name)


async def test_thresholds_are_kept_with_their_revisions(reports: Reports) -> None:
    """One per metric and scope; a change needs the revision that was read; a rule must exist."""
    first = await reports.threshold(metric="error_rate", warning=0.02)
    await reports.threshold(metric="error_rate", warning=0.02, report_id=reports.report)
    with pytest.raises(Conflict):
        await reports.threshold(metric="error_rate", warning=0.5)
    with pytest.raises(Invalid):
        await reports.threshold(metric="rule_failure_rate", warning=0.5, subject=str(uuid4()))
    spec = ThresholdSpec.model_validate({"metric": "error_rate", "critical": 0.5})
    async with reports.database.transaction(reports.context()) as tx:
        await commands.edit_threshold(tx, first, 1, spec)
    with pytest.raises(PreconditionFailed):
        async with reports.database.transaction(reports.context()) as tx:
            await commands.edit_threshold(tx, first, 1, spec)
    async with reports.database.transaction(reports.context()) as tx:
        assert (await store.find_threshold(tx, first))["spec"]["critical"] == "0.5"
        await commands.remove_threshold(tx, first)
    with pytest.raises(NotFound):
        async with reports.database.transaction(reports.context()) as tx:
            await commands.remove_threshold(tx, first)


async def test_nobody_watches_what_lost_its_threshold(reports: Reports) -> None:
    """A state that only a deleted threshold gave ends with the next run, and that is said."""
    threshold = await reports.threshold(metric="error_rate", critical=0.02)
    await reports.run(50)
    async with reports.database.transaction(reports.context()) as tx:
        await commands.remove_threshold(tx, threshold)
    await reports.run(50)
    assert [event["data"]["after"] for event in await reports.said()] == ["critical", "ok"]
