"""Rules of every kind in a run: figures, history, queries; how they are found, and how their mistakes are told."""

from datetime import date
from typing import Any

import pytest

from examples.broker_week.job import publish
from examples.client import ApiError
from libs.common.vocabulary.reports import ReportSpec
from libs.common.vocabulary.rules import RuleSpec
from tests.system.payments import CSV, SCHEMA, Filing, edit, filed
from tests.system.world import Tenant

YESTERDAY, TODAY = date(2026, 3, 5), date(2026, 3, 6)
AGGREGATE = {
    "kind": "aggregate",
    "measures": {"now": {"function": "count"}, "before": {"function": "count", "of": "previous"}},
    "condition": "abs(now - before) * 100 <= 20 * before",
    "fails": "first",
}
HISTORY = {"kind": "history", "key": ["id"], "condition": "amount == previous_amount"}
QUERY = {
    "kind": "sql",
    "sql": "SELECT r._ordinal FROM records r LEFT JOIN previous p ON p.id = r.id WHERE p.id IS NULL AND "
    "EXISTS (SELECT 1 FROM previous q WHERE q.amount IS NOT NULL)",
}


async def reported(tenant: Tenant, checks: dict[str, dict[str, Any]]) -> tuple[Filing, dict[str, str]]:
    """File yesterday's payments with warnings of these checks; return the rules' names by id too."""
    filing = await filed(tenant)
    (tenant.inbox / f"payments-{YESTERDAY}.csv").write_text(CSV, encoding="utf-8")
    names = {}
    for name, check in checks.items():
        spec = RuleSpec.model_validate({"schema_id": str(filing.schema), "severity": "blocking", "check": check})
        names[str(await publish(tenant.api, "/v1/rules", name, spec))] = name
    path = f"/v1/reports/{filing.report}"
    version = await tenant.api.get(f"{path}/versions/1")
    await edit(tenant.api, path, _with_rules(version["spec"], [str(filing.rule), *names]))
    return filing, names


def _with_rules(spec: dict[str, Any], rules: list[str]) -> Any:

    return ReportSpec.model_validate({**spec, "rules": rules})


async def test_a_run_is_compared_with_the_one_before(tenant: Tenant) -> None:
    """Figures, single records and queries read the last earlier extract; the first run has none to compare with."""
    filing, names = await reported(tenant, {"count": AGGREGATE, "amount": HISTORY, "new": QUERY})
    lines = CSV.splitlines()
    changed = [*lines[:2], "P002,7.00,2026-03-03", *lines[3:12], "N1,1.00,2026-03-03"]
    (tenant.inbox / f"payments-{TODAY}.csv").write_text("\n".join(changed) + "\n", encoding="utf-8")
    first, second = await filing.run(YESTERDAY), await filing.run(TODAY)
    assert [one["rule_name"] for one in await tenant.api.pages("/v1/exceptions", run_id=first["id"])] == [
        "amount positive"
    ]
    opened = await tenant.api.pages("/v1/exceptions", run_id=second["id"])
    found = {(names.get(one["rule_id"], ""), one["key"]) for one in opened}
    assert {("count", "P001"), ("amount", "P002"), ("new", "N1")} == {one for one in found if one[0]}
    assert second["status"] == "partial", second["reason"]
    message = next(one["message"] for one in opened if names.get(one["rule_id"]) == "count")
    assert message.endswith("(before 20, now 12)")


async def test_a_rule_is_found_by_the_authority_s_id(tenant: Tenant) -> None:
    """As a draft and when it is published; nothing else is found with it."""
    schema = await publish(tenant.api, "/v1/schemas", "payments", SCHEMA)
    spec = {"schema_id": str(schema), "check": {"kind": "expression", "expression": "amount > 0"}}
    rule = await tenant.api.post("/v1/rules", {"name": "one", "spec": {**spec, "external_id": "CON-023"}})
    await tenant.api.post("/v1/rules", {"name": "other", "spec": spec})
    for _ in range(2):
        listed = await tenant.api.get("/v1/rules", external_id="CON-023")
        assert [one["id"] for one in listed["items"]] == [rule["id"]]
        if listed["items"][0]["status"] == "draft":
            await tenant.api.post(f"/v1/rules/{rule['id']}/publish", {})
    assert (await tenant.api.get("/v1/rules", external_id="CON-024"))["items"] == []


@pytest.mark.parametrize(
    ("check", "place"),
    [
        (
            {"kind": "expression", "expression": "id == 'x'\nor amuont > 0"},
            {"line": 2, "column": 4, "expected": "a field of the schema", "nearest": "amount"},
        ),
        (
            {"kind": "sql", "sql": "SELECT _ordinal\nFROM recrods"},
            {"line": 2, "column": 6, "expected": "a declared table", "nearest": "records", "category": "table"},
        ),
    ],
)
async def test_a_mistake_is_told_by_its_place(tenant: Tenant, check: dict[str, Any], place: dict[str, Any]) -> None:
    """A refusal has members for line, column, what was expected and the nearest name, when saved and when tried."""
    schema = await publish(tenant.api, "/v1/schemas", "payments", SCHEMA)
    spec = {"schema_id": str(schema), "check": check}
    for path, body in (
        ("/v1/rules", {"name": "wrong", "spec": spec}),
        ("/v1/rules:try", {"rules": [spec], "records": [{"id": "x"}]}),
    ):
        with pytest.raises(ApiError) as refused:
            await tenant.api.post(path, body)
        assert refused.value.status == 422
        [told] = refused.value.problem["errors"]
        assert {name: told[name] for name in place} == place
