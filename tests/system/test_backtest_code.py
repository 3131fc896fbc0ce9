"""A change is tried on past data of reports whose transform is code, and its owner publishes it with that (S3, S26)."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from examples.broker_week.job import connector, publish
from examples.client import Api
from libs.common.vocabulary.connections import FileConnector
from libs.common.vocabulary.mappings import MappingEntry, MappingSpec
from libs.common.vocabulary.reports import CsvOutput, FileSource, ReportSpec
from libs.common.vocabulary.rules import ExpressionCheck, RuleSpec
from libs.common.vocabulary.schemas import SchemaSpec
from libs.common.vocabulary.transforms import AnyTransform, PythonTransform, SqlTransform
from tests.system.payments import DAY, SCHEMA, rule_spec
from tests.system.test_backtest import drafted, proposed
from tests.system.transforming import BY_DAY, CONTENT, FRAMES, LEGS, SLOW, TOTALS, run
from tests.system.world import Tenant

POLICY = {"require_backtest": ["rule", "mapping", "schema"], "require_approval": []}
RENAMED = """
SELECT r._ordinal, coalesce(n.name, r.id) AS id, r.amount, r.booked FROM records AS r LEFT JOIN names AS n ON n.key = r.id
"""
KEYS = {day: [f"P{n}" for n in range(11) if n % 3 + 1 == day] for day in (1, 2, 3)}
"""Day of March → the payments booked on it."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A tenant's published report whose transform is code, and one past run of it."""

    tenant: Tenant
    source: UUID
    target: UUID
    rule: UUID
    report: UUID

    async def tried(self, kind: str, id_: UUID, spec: BaseModel) -> tuple[Any, list[dict[str, Any]]]:
        """Draft a change under the policy and propose it; return its proposal, published, and what differs."""
        path = f"/v1/{kind}s/{id_}"
        await drafted(self.tenant.api, path, spec)
        await gated(self.tenant.api, path)
        await self.tenant.api.post(f"{path}/publish", {"effective_from": "2000-01-01"})
        found = await proposed(self.tenant.api, path, "published", "rejected")
        assert (found["status"], found["backtest"]["failed"]) == ("published", 0), found
        assert (await self.tenant.api.get(path))["latest"] == 2
        rows = await self.tenant.api.pages(f"/v1/backtests/{found['backtest_id']}/differences")
        return found["backtest"], rows


async def gated(api: Api, path: str) -> None:
    """Have the tenant ask for backtests, and wait until the definition's owner knows."""
    await api.change("/v1/policies/publication", POLICY)
    async with asyncio.timeout(30):
        while not (await api.get(path))["requires"]:  # noqa: ASYNC110 - the owner follows the policy by itself
            await asyncio.sleep(0.1)


async def coded(
    tenant: Tenant,
    transform: AnyTransform,
    target: SchemaSpec = SCHEMA,
    *,
    checked: str = "amount > 0",
    mappings: Mapping[str, UUID] | None = None,
    content: str = CONTENT,
    seconds: float = 120,
) -> Coded:
    """Publish a report with this transform, and run it once; `checked` is its rule's expression."""
    api = tenant.api
    (tenant.inbox / f"payments-{DAY}.csv").write_text(content, encoding="utf-8")
    files = await connector(api, "files", FileConnector(root="inbox", path=tenant.inbox.name), {})
    source = await publish(api, "/v1/schemas", "payments", SCHEMA)
    wanted = await publish(api, "/v1/schemas", "reported", target)
    rule = await publish(api, "/v1/rules", "checked", rule_spec(source, checked))
    spec = ReportSpec(
        source=FileSource(connector_id=files, file="payments-{business_date}.csv"),
        source_schema_id=source,
        business_key=("id",),
        rules=(rule,),
        target_schema_id=wanted,
        mappings=dict(mappings or {}),
        transform=transform,
        outputs=(CsvOutput(),),
        destinations=(await publish(api, "/v1/destinations", "outbox", tenant.destination),),
    )
    made = Coded(tenant, source, wanted, rule, await publish(api, "/v1/reports", "payments", spec))
    shown = await run(tenant, made.report, seconds)
    assert shown["status"] in ("succeeded", "partial"), shown["reason"]
    return made


def told(rows: list[dict[str, Any]], difference: str) -> list[tuple[Any, ...]]:
    """Return the keys of a difference, with field and values where it is one of values."""
    shown = [row for row in rows if row["difference"] == difference]
    return sorted(
        (row["key"], row["field"], row["before"], row["after"]) if row["field"] else (row["key"],) for row in shown
    )


def keys(*names: str) -> list[tuple[str]]:
    """Return keys as `told` tells them."""
    return sorted((name,) for name in names)


async def test_rows_that_code_makes_of_a_record_are_compared_with_its_rows(tenant: Tenant) -> None:
    """A rule that holds two records in the middle takes their legs away, and changes no row that follows."""
    legs = PythonTransform(kind="python", code=LEGS, yields="one_to_many", params={"least": -9})
    report = await coded(tenant, legs)
    counts, rows = await report.tried("rule", report.rule, rule_spec(report.source, "not between(amount, 5, 7)"))
    assert told(rows, "newly_failing") == keys("P6", "P7")
    assert told(rows, "newly_passing") == keys("P0")
    assert told(rows, "no_longer_out") == keys("P6", "P6", "P7", "P7")
    assert told(rows, "newly_out") == keys("P0", "P0")
    assert told(rows, "changed") == []
    assert [counts[name] for name in ("newly_failing", "newly_passing", "no_longer_out", "newly_out")] == [2, 1, 2, 1]
    assert {row["ordinal"] for row in rows} == {1, 7, 8}
    after = await run(tenant, report.report)
    held = await tenant.api.pages("/v1/exceptions", run_id=after["id"])
    assert {each["key"] for each in held} == {"P6", "P7"}


@pytest.mark.parametrize("kind", ["python", "sql"])
async def test_totals_that_code_makes_are_compared_by_their_key(tenant: Tenant, kind: str) -> None:
    """A day whose payments are held is out no more, one that loses some has another total, the third is as it was."""
    code: AnyTransform = PythonTransform(kind="python", code=BY_DAY, yields="aggregate")
    if kind == "sql":
        query = "SELECT booked AS day, sum(amount) AS total, count(*) AS payments, list(_ordinal) AS _ordinals, CAST(booked AS VARCHAR) AS _key FROM records GROUP BY booked ORDER BY booked"  # fmt: skip
        code = SqlTransform(kind="sql", query=query, yields="aggregate")
    report = await coded(tenant, code, TOTALS)
    changed = rule_spec(report.source, "amount > 0 and booked != date('2026-03-01') and amount != 1.50")
    counts, rows = await report.tried("rule", report.rule, changed)
    assert told(rows, "newly_failing") == keys("P2", "P3", "P6", "P9")
    assert told(rows, "no_longer_out") == keys("2026-03-01")
    assert told(rows, "changed") == [("2026-03-03", "payments", "3", "2"), ("2026-03-03", "total", "13.50", "12.00")]
    assert (told(rows, "newly_out"), told(rows, "newly_passing")) == ([], [])
    assert (counts["changed"], counts["no_longer_out"], counts["by_field"]) == (1, 1, {"payments": 1, "total": 1})


async def test_what_rules_say_of_codes_rows_is_compared_by_record(tenant: Tenant) -> None:
    """A rule over the output names the record behind each row, wherever the row stands in its run."""
    legs = PythonTransform(kind="python", code=LEGS, yields="one_to_many", params={"least": 3})
    report = await coded(tenant, legs)
    rule = RuleSpec(schema_id=report.target, phase="output", check=ExpressionCheck(expression="amount > -100"))
    judged = await publish(tenant.api, "/v1/rules", "not too low", rule)
    path = f"/v1/reports/{report.report}"
    spec = ReportSpec.model_validate((await tenant.api.get(f"{path}/versions/1"))["spec"])
    await drafted(tenant.api, path, spec.model_copy(update={"rules": (report.rule, judged)}))
    await tenant.api.post(f"{path}/publish", {"effective_from": "2000-01-01"})
    await run(tenant, report.report)
    check = ExpressionCheck(expression="amount > -8")
    _, rows = await report.tried("rule", judged, rule.model_copy(update={"check": check}))
    failing = [(row["key"], row["ordinal"]) for row in rows if row["difference"] == "newly_failing"]
    assert sorted(failing) == [("P10", 11), ("P10", 11), ("P9", 10), ("P9", 10)]  # of both past runs
    assert {row["phase"] for row in rows if row["difference"] == "newly_failing"} == {"output"}


async def test_a_mapping_that_code_looks_up_shows_the_values_that_change(tenant: Tenant) -> None:
    """The code of a replay sees the draft of the mapping, and each value that it changes is named with its key."""
    entries = {f"P{n}": f"name of {n}" for n in range(11)}
    spec = MappingSpec(columns=("name",), entries=tuple(_entry(*one) for one in entries.items()))
    names = await publish(tenant.api, "/v1/mappings", "names", spec)
    report = await coded(
        tenant, SqlTransform(kind="sql", query=RENAMED, yields="one_to_one"), mappings={"names": names}
    )
    del entries["P4"]
    other = {**entries, "P8": "another name"}
    _, rows = await report.tried(
        "mapping", names, spec.model_copy(update={"entries": tuple(_entry(*one) for one in other.items())})
    )
    assert told(rows, "changed") == [("P4", "id", "name of 4", "P4"), ("P8", "id", "name of 8", "another name")]
    assert len(rows) == 2


def _entry(key: str, name: str) -> MappingEntry:
    return MappingEntry(key=key, values={"name": name})


async def test_a_schema_shows_who_fails_and_what_becomes_of_codes_rows(tenant: Tenant) -> None:
    """A source schema that takes no halves holds who has one, before the code sees it."""
    report = await coded(tenant, PythonTransform(kind="python", code=FRAMES, yields="one_to_one"))
    fields = (SCHEMA.fields[0], SCHEMA.fields[1].model_copy(update={"scale": 0}), SCHEMA.fields[2])
    _, rows = await report.tried("schema", report.source, SchemaSpec(fields=fields))
    expected = keys(*(f"P{n}" for n in range(1, 11)))
    assert told(rows, "newly_failing") == expected
    assert told(rows, "no_longer_out") == expected
    assert told(rows, "changed") == told(rows, "newly_out") == []


async def test_a_draft_that_changes_while_it_is_tried_is_not_published(tenant: Tenant) -> None:
    """The backtest of what was proposed before comes to its end and publishes nothing; the new draft is tried anew."""
    report = await coded(tenant, PythonTransform(kind="python", code=SLOW.replace("3", "1.5"), yields="one_to_one"))
    api, path = tenant.api, f"/v1/rules/{report.rule}"
    await drafted(api, path, rule_spec(report.source, "amount > 3"))
    await gated(api, path)
    await api.post(f"{path}/publish", {"effective_from": "2000-01-01"})
    first = await proposed(api, path, "awaiting_backtest")
    await drafted(api, path, rule_spec(report.source, "amount > 8"))
    shown = await api.get(path)
    assert (shown["latest"], shown["proposal"]["status"]) == (1, "withdrawn")
    await _ended(api, report.rule, first["sha256"])
    assert (await api.get(path))["latest"] == 1
    await api.post(f"{path}/publish", {"effective_from": "2000-01-01"})
    second = await proposed(api, path, "published")
    assert second["sha256"] != first["sha256"]
    assert second["backtest"]["newly_failing"] == 8
    assert (await api.get(path))["latest"] == 2


async def _ended(api: Api, rule: UUID, sha256: str) -> None:
    """Wait until the backtest of a draft is over."""
    async with asyncio.timeout(60):
        while True:
            shown = await api.pages("/v1/backtests", definition_id=str(rule))
            if any(one["sha256"] == sha256 and one["status"] == "completed" for one in shown):
                return
            await asyncio.sleep(0.2)
