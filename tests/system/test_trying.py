"""Rules are tried before they count, and say then what they will say in a run."""

import asyncio
import csv
import io
import random
from typing import Any
from uuid import UUID, uuid4

import pytest

from examples.broker_week.job import publish, wait
from examples.client import ApiError
from libs.common.vocabulary.mappings import MappingEntry, MappingSpec
from libs.common.vocabulary.rules import ExpressionCheck, Fix, ReferenceCheck, RuleSpec, UniqueCheck
from tests.system.payments import AS_OF, DAY, SCHEMA, filed, rule_spec
from tests.system.test_exceptions_abuse import ask, refused
from tests.system.world import Tenant

NAMES = [field.name for field in SCHEMA.fields]
ODD = (
    "",
    " ",
    "1",
    "-0.00",
    "0.005",
    "1e3",
    "1,5",
    "99999999999999999",
    "2026-02-30",
    "2026-03-01",
    "NaN",
    "P1",
    "ü;'\"\n{id}",
)


def odd_records(seed: int) -> list[dict[str, str]]:
    """Return records of which many are wrong, some the same."""
    dice = random.Random(seed)  # noqa: S311 - for variety, not for secrets
    return [{name: dice.choice(ODD) if dice.random() < 0.5 else sound for name, sound in _sound(n)} for n in range(60)]


def _sound(number: int) -> list[tuple[str, str]]:
    return [("id", f"P{number % 50}"), ("amount", f"{number - 5}.25"), ("booked", "2026-03-02")]


def as_csv(records: list[dict[str, str]]) -> str:
    """Write records as a source file has them."""
    out = io.StringIO()
    writer = csv.DictWriter(out, NAMES, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def compared(failures: list[dict[str, Any]], place: str) -> list[tuple[Any, ...]]:
    """Return what has to be the same of failures, in one order."""
    names = ("key", "rule_id", "outcome", "message")
    return sorted((one[place], *(one[name] for name in names), sorted(one["fields"].items())) for one in failures)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_try_says_what_a_run_says(tenant: Tenant, seed: int) -> None:
    """The same failures with the same keys, fields and messages, of rules and of what the schema implies (S3)."""
    records = odd_records(seed)
    filing = await filed(tenant, as_csv(records))
    run = await filing.run()
    assert run["status"] in ("partial", "succeeded"), run["reason"]
    seen = await tenant.api.pages("/v1/exceptions", run_id=run["id"])
    asked = {"rules": [str(filing.rule)], "records": records, "business_key": ["id"], "business_date": str(DAY)}
    tried = await tenant.api.post("/v1/rules:try", {**asked, "as_of": AS_OF.isoformat()})
    assert tried["held"] > 10
    assert compared(tried["failures"], "place") == compared(seen, "ordinal")
    assert {rule["rule_id"]: rule["failed"] for rule in tried["rules"]}[str(filing.rule)] > 3


async def test_drafts_of_every_kind_are_tried_and_nothing_is_kept(tenant: Tenant) -> None:
    """Expressions, uniqueness, mappings and corrections are judged from their specifications alone."""
    schema = await publish(tenant.api, "/v1/schemas", "payments", SCHEMA)
    entries = (MappingEntry(key="P1", values={"name": "one"}),)
    mapping = await publish(tenant.api, "/v1/mappings", "known", MappingSpec(columns=("name",), entries=entries))
    fixed = ExpressionCheck(expression="amount >= 0")
    rules = [
        rule_spec(schema),
        RuleSpec(schema_id=schema, check=UniqueCheck(fields=("id",)), severity="warning"),
        RuleSpec(schema_id=schema, check=ReferenceCheck(field="id", mapping="known"), mappings={"known": mapping}),
        RuleSpec(schema_id=schema, check=fixed, severity="correctable", fix=Fix(field="amount", expression="-amount")),
    ]
    records = [{"id": "P1", "amount": 1.5}, {"id": "P1", "amount": -2}, {"id": "P2", "amount": True}]
    body = {"rules": [rule.model_dump(mode="json") for rule in rules], "records": records, "business_key": ["id"]}
    tried = await tenant.api.post("/v1/rules:try", body)
    found = {(one["place"], one["rule_id"]) for one in tried["failures"]}
    assert {(2, "rules/1"), (3, "rules/2"), (3, "schema:amount:type")} <= found
    assert [(one["place"], one["old_value"], one["new_value"]) for one in tried["corrections"]] == [(2, "-2", "2.00")]
    assert (await tenant.api.get("/v1/rules"))["items"] == []
    assert (await tenant.api.get("/v1/exceptions"))["items"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"records": [{"nmae": "x"}]}, "/records/0/nmae"),
        ({"records": [{"id": ["x"]}]}, "records"),
        ({"records": []}, "records"),
        ({"records": [{"amount": 12345678901234567890.5}]}, "/records/0/amount"),
        ({"records": [{"amount": 12345678901234567890}]}, "/records/0/amount"),
        ({"as_of": "0001-01-01T00:00:00+02:00"}, "/as_of"),
        ({"business_key": ["nothing"]}, "/business_key"),
        ({"rules": []}, "rules"),
    ],
)
async def test_what_cannot_be_tried_is_named(tenant: Tenant, change: dict[str, Any], field: str) -> None:
    """A record, key or rule that does not fit is refused with its place."""
    schema = await publish(tenant.api, "/v1/schemas", "payments", SCHEMA)
    body = {"rules": [rule_spec(schema).model_dump(mode="json")], "records": [{"id": "x"}], **change}
    with pytest.raises(ApiError) as refused:
        await tenant.api.post("/v1/rules:try", body)
    assert refused.value.status == 422
    assert field in str(refused.value.problem)


async def test_a_rule_with_a_mistake_is_shown_where(tenant: Tenant) -> None:
    """The position in the expression is in the answer; another schema's rule and unknown rules are refused."""
    schema = await publish(tenant.api, "/v1/schemas", "payments", SCHEMA)
    wrong = rule_spec(schema, "amuont > 0").model_dump(mode="json")
    for rules, told in (([wrong], "did you mean 'amount'"), ([str(uuid4())], "no such rule")):
        with pytest.raises(ApiError) as refused:
            await tenant.api.post("/v1/rules:try", {"rules": rules, "records": [{"id": "x"}]})
        assert told in str(refused.value.problem)


async def test_a_rule_is_published_only_when_its_own_tests_pass(tenant: Tenant) -> None:
    """The draft is kept, what surprised is named, and a rule that means what its tests show goes out."""
    schema = await publish(tenant.api, "/v1/schemas", "payments", SCHEMA)
    spec = rule_spec(schema, "amount > 0 or booked > business_date").model_dump(mode="json")
    records = [{"amount": 1}, {"amount": 0, "booked": "2026-03-06"}, {"amount": "-1", "booked": "2026-03-07"}]
    wrong = {"name": "boundaries", "records": records, "failing": [3], "business_date": "2026-03-06"}
    rule = await tenant.api.post("/v1/rules", {"name": "tested", "spec": {**spec, "tests": [wrong]}})
    with pytest.raises(ApiError) as refused:
        await tenant.api.post(f"/v1/rules/{rule['id']}/publish", {})
    assert refused.value.problem["type"].endswith("rule-tests-failed")
    (told,) = refused.value.problem["errors"]
    assert told["field"] == "/spec/tests/0"
    assert told["message"] == (
        "record 3 should fail and passes; record 2 should pass and fails: amount 0 is not positive (boundaries)"
    )
    assert (await tenant.api.get(f"/v1/rules/{rule['id']}"))["status"] == "draft"
    right = {"name": "tested", "spec": {**spec, "tests": [{**wrong, "failing": [2]}]}}
    await tenant.api.change(f"/v1/rules/{rule['id']}", right)
    assert (await tenant.api.post(f"/v1/rules/{rule['id']}/publish", {}))["status"] == "published"


async def test_a_rule_that_cannot_be_kept_is_refused(tenant: Tenant) -> None:
    """A NUL in any text of it is named, whether the rule is saved or tried on a run."""
    schema = await publish(tenant.api, "/v1/schemas", "payments", SCHEMA)
    spec = {**rule_spec(schema).model_dump(mode="json"), "external_id": "a\0"}
    tests = {**spec, "external_id": "", "tests": [{"records": [{"id": "\0"}]}]}
    for path, body, field in (
        ("/v1/rules", {"name": "odd", "spec": spec}, "/spec/external_id"),
        ("/v1/rules", {"name": "odd", "spec": tests}, "/spec/tests/0/records/0/id"),
        ("/v1/rules:try", {"rules": [spec], "run_id": str(uuid4())}, "/rules/0/external_id"),
    ):
        with pytest.raises(ApiError) as refused:
            await tenant.api.post(path, body)
        assert refused.value.status == 422
        assert [one["field"] for one in refused.value.problem["errors"]] == [field]


async def test_a_record_that_passes_as_unknown_is_told_so(tenant: Tenant) -> None:
    """Who expects a record without a value to fail reads why it does not."""
    schema = await publish(tenant.api, "/v1/schemas", "payments", SCHEMA)
    spec = rule_spec(schema).model_dump(mode="json")
    tests = [{"records": [{"amount": "1"}, {"amount": ""}], "failing": [2]}]
    rule = await tenant.api.post("/v1/rules", {"name": "tested", "spec": {**spec, "tests": tests}})
    with pytest.raises(ApiError) as refused:
        await tenant.api.post(f"/v1/rules/{rule['id']}/publish", {})
    (told,) = refused.value.problem["errors"]
    assert told["message"] == "record 2 should fail and passes; 1 unknown, which passes as `on_unknown` is"


async def test_a_test_of_a_rule_names_only_what_there_is(tenant: Tenant) -> None:
    """Fields that the schema lacks and places without a record are refused when the draft is saved."""
    schema = await publish(tenant.api, "/v1/schemas", "payments", SCHEMA)
    spec = rule_spec(schema).model_dump(mode="json")
    for test in ({"records": [{"amuont": 1}]}, {"records": [{"amount": 1}], "failing": [2]}):
        with pytest.raises(ApiError) as refused:
            await tenant.api.post("/v1/rules", {"name": "tested", "spec": {**spec, "tests": [test]}})
        assert refused.value.status == 422
        assert "tests" in str(refused.value.problem["errors"])


async def tried_on(tenant: Tenant, rules: list[Any], run_id: str) -> Any:
    """Try rules on a run's records and return what came of it."""
    shown = await tenant.api.post("/v1/rules:try", {"rules": rules, "run_id": run_id})
    async with asyncio.timeout(60):
        while shown["status"] not in ("completed", "failed"):
            await asyncio.sleep(0.1)
            shown = await tenant.api.get(f"/v1/rules:try/{shown['id']}")
    return shown


@pytest.mark.parametrize("seed", [3])
async def test_a_try_on_a_past_run_or_a_sample_says_what_the_run_said(tenant: Tenant, seed: int) -> None:
    """On sealed records: the same failures with the same keys, fields and messages, and nothing is opened (S3, S42)."""
    filing = await filed(tenant, as_csv(odd_records(seed)))
    run = await filing.run()
    seen = compared(await tenant.api.pages("/v1/exceptions", run_id=run["id"]), "ordinal")
    body = {"report_id": str(filing.report), "business_date": str(DAY), "kind": "sample", "limit": 10_000}
    sample = await wait(tenant.api, UUID((await tenant.api.post("/v1/runs", body))["id"]))
    assert (sample["status"], sample["records_out"]) == ("succeeded", 60)
    for place in (run["id"], sample["id"]):
        tried = await tried_on(tenant, [str(filing.rule)], place)
        assert tried["status"] == "completed", tried
        assert compared(tried["result"]["failures"], "place") == seen
    assert await tenant.api.pages("/v1/exceptions", run_id=sample["id"]) == []


async def test_a_nul_in_the_source_is_told_by_its_sign(tenant: Tenant) -> None:
    """It is text as any other: the record is held and told of, in a run, in a try, and in a try on the run."""
    content = "id,amount,booked\na\0|b,-1,2026-03-02\nc,1,2026-03-\0\n"
    filing = await filed(tenant, content)
    run = await filing.run()
    assert (run["status"], run["records_held"]) == ("partial", 2), run["reason"]
    seen = await tenant.api.pages("/v1/exceptions", run_id=run["id"])
    assert sorted((one["key"], one["fields"]) for one in seen) == [
        ("a\u2400\\|b", {"amount": "-1"}),
        ("c", {"booked": "2026-03-\u2400"}),
    ]
    tried = await tried_on(tenant, [str(filing.rule)], run["id"])
    assert compared(tried["result"]["failures"], "place") == compared(seen, "ordinal")
    records = list(csv.DictReader(io.StringIO(content)))
    asked = {"rules": [str(filing.rule)], "records": records, "business_key": ["id"], "business_date": str(DAY)}
    given = await tenant.api.post("/v1/rules:try", asked)
    assert compared(given["failures"], "place") == compared(seen, "ordinal")


async def test_a_try_on_a_run_is_asked_once_by_its_key(tenant: Tenant) -> None:
    """The same key is the same try, with its place; another body under it, and a rule named twice, are refused."""
    filing = await filed(tenant)
    run, rule = (await filing.run())["id"], str(filing.rule)
    asked = {"rules": [rule], "run_id": run}
    answers = [await ask(tenant.api, "POST", "/v1/rules:try", asked, Idempotency_Key="once") for _ in range(3)]
    assert {(one.status_code, one.json()["id"], one.headers["location"]) for one in answers} == {
        (202, answers[0].json()["id"], f"/v1/rules:try/{answers[0].json()['id']}")
    }
    assert [one.headers.get("idempotency-replayed") for one in answers] == [None, "true", "true"]
    other = {**asked, "run_id": str(uuid4())}
    refused(await ask(tenant.api, "POST", "/v1/rules:try", other, Idempotency_Key="once"), 422, "Idempotency-Key")
    for place in ({"run_id": run}, {"records": [{"id": "1"}]}):
        refused(await ask(tenant.api, "POST", "/v1/rules:try", {"rules": [rule, rule], **place}), 422, "/rules/1")


async def test_a_try_on_what_is_not_there_fails_with_its_reason(tenant: Tenant) -> None:
    """Another's or no run, and a phase that was not reached: failed, with a code; both ways at once: 422."""
    filing = await filed(tenant)
    assert (await tried_on(tenant, [str(filing.rule)], str(uuid4())))["code"] == "not-found"
    sample = {"report_id": str(filing.report), "business_date": str(DAY), "kind": "sample"}
    run = await wait(tenant.api, UUID((await tenant.api.post("/v1/runs", sample))["id"]))
    output = rule_spec(filing.schema).model_copy(update={"phase": "output"}).model_dump(mode="json")
    missing = await tried_on(tenant, [output], run["id"])
    assert (missing["code"], "transformed" in missing["message"]) == ("nothing-sealed", True)
    later = await tenant.api.post("/v1/runs", {**sample, "business_date": "2026-03-31"})
    gone = await wait(tenant.api, UUID(later["id"]))
    missing = await tried_on(tenant, [str(filing.rule)], later["id"])
    assert (missing["code"], gone["reason"] in missing["message"]) == ("nothing-sealed", True)
    other = await publish(tenant.api, "/v1/schemas", "others", SCHEMA)
    strange = rule_spec(other).model_dump(mode="json")
    assert (await tried_on(tenant, [strange], run["id"]))["code"] == "other-schema"
    for body in ({}, {"run_id": run["id"], "records": [{"id": "1"}]}, {"run_id": run["id"], "business_key": ["id"]}):
        with pytest.raises(ApiError) as refused:
            await tenant.api.post("/v1/rules:try", {"rules": [str(filing.rule)], **body})
        assert refused.value.status == 422
