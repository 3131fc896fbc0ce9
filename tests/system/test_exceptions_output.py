"""Exceptions of what a report makes: held by rules over the target, or by its schema; and of a rule that is no more."""

from typing import Any
from uuid import UUID

import pytest

from examples.broker_week.job import connector, publish, start, wait
from examples.client import ApiError
from libs.common.vocabulary.connections import FileConnector
from libs.common.vocabulary.reports import CsvOutput, FileSource, ReportSpec
from libs.common.vocabulary.rules import ExpressionCheck, RuleSpec
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.common.vocabulary.transforms import AnyTransform, FieldMapping, PythonTransform, SqlTransform, Transform
from tests.system.payments import AS_OF, DAY, filed, report_spec
from tests.system.test_exceptions import LATER, corrected, do, payments, until
from tests.system.world import Tenant

SOURCE = SchemaSpec(fields=(SchemaField(name="id", type="text", required=True), SchemaField(name="memo", type="text")))
TARGET = SchemaSpec(
    fields=(SchemaField(name="ref", type="text", required=True), SchemaField(name="memo", type="text", max_length=4))
)
CONTENT = "id,memo\nA,good\nB,bad\nC,too long\nD,good\n"
PASSED_ON = Transform(
    fields=(FieldMapping(field="ref", expression="id"), FieldMapping(field="memo", expression="memo"))
)
LEGS = """
import polars as pl


def transform(batches, params):
    for frame in batches.polars():
        rows = frame.select(pl.col("id").alias("ref"), pl.col("memo").str.slice(0, 4), "_ordinal")
        yield rows.with_columns(pl.col("ref") + "/2")
        yield rows
"""
TOTALS = (
    "SELECT max(id) AS ref, min(memo) AS memo, list(_ordinal) AS _ordinals FROM records GROUP BY memo ORDER BY memo"
)


async def made(tenant: Tenant, transform: AnyTransform, content: str = CONTENT, schema: SchemaSpec = SOURCE) -> Any:
    """Publish a report of memos whose output may not say 'bad', and run it; returns the ended run."""
    api = tenant.api
    (tenant.inbox / f"memos-{DAY}.csv").write_text(content, encoding="utf-8")
    files = await connector(api, "files", FileConnector(root="inbox", path=tenant.inbox.name), {})
    source = await publish(api, "/v1/schemas", "memos", schema)
    target = await publish(api, "/v1/schemas", "sent memos", TARGET)
    check = ExpressionCheck(expression="memo != 'bad'")
    rule = await publish(api, "/v1/rules", "not bad", RuleSpec(schema_id=target, phase="output", check=check))
    spec = ReportSpec(
        source=FileSource(connector_id=files, file="memos-{business_date}.csv"),
        source_schema_id=source,
        business_key=("id",),
        rules=(rule,),
        target_schema_id=target,
        transform=transform,
        outputs=(CsvOutput(),),
        destinations=(await publish(api, "/v1/destinations", "outbox", tenant.destination),),
    )
    report = await publish(api, "/v1/reports", "memos", spec)
    return await wait(api, await start(api, report, DAY, AS_OF))


async def listed(tenant: Tenant, run: Any, **wanted: Any) -> list[Any]:
    """Return a run's exceptions, by key and rule."""
    rows = (await tenant.api.get("/v1/exceptions", run_id=run["id"], **wanted))["items"]
    return sorted(rows, key=lambda row: (row["key"], row["rule_id"]))


async def test_what_the_target_holds_waits_in_the_queue(tenant: Tenant) -> None:
    """A value that does not fit the target and one that a rule over it refuses: seen, mended or accepted, and sent."""
    api, run = tenant.api, await made(tenant, PASSED_ON)
    assert (run["status"], run["records_out"], run["records_held"]) == ("partial", 2, 2)
    refused, long = await listed(tenant, run, phase="output")
    assert (refused["key"], refused["rule_name"], refused["ordinal"]) == ("B", "not bad", 2)
    assert (long["key"], long["rule_id"], long["ordinal"]) == ("C", "target:memo:length", 3)
    assert long["fields"] == {"memo": "too long"}
    assert await listed(tenant, run, phase="input") == []
    groups = (await api.get("/v1/exceptions/groups", run_id=run["id"]))["items"]
    assert sorted((group["phase"], group["open"]) for group in groups) == [("output", 1), ("output", 1)]
    with pytest.raises(ApiError, match="409"):
        await do(api, long, "waive", reason="it would go out as something else", expires_on=LATER)
    changes = [{"field": "memo", "value": "long", "replaces": "too long"}]
    with pytest.raises(ApiError, match="say what the source has"):
        await do(api, long, "amend", reason="cut", changes=[{"field": "memo", "value": "long"}])
    amended = await do(api, long, "amend", reason="cut", changes=changes)
    waived = await do(api, refused, "waive", reason="it is that bad", expires_on=LATER)
    for row in (amended, waived):
        sent = await do(api, row, "resubmit")
        correction = await corrected(api, sent)
        assert (correction["status"], correction["records_in"], correction["records_out"]) == ("succeeded", 1, 1)
        assert (await until(api, f"/v1/resubmissions/{sent['id']}", "ended"))["reported"] == 1
    assert {row["resolution"] for row in await listed(tenant, run)} == {"reported"}
    lines = [path.read_text().splitlines()[1] for path in tenant.outbox.iterdir() if ".correction-" in path.name]
    assert sorted(lines) == ["B,bad", "C,long"]


async def test_a_text_that_is_too_long_is_accepted_and_goes_out(tenant: Tenant) -> None:
    """What the source's schema refuses and the target takes is sent as it is."""
    short = SchemaSpec(fields=(SOURCE.fields[0], SchemaField(name="memo", type="text", max_length=3)))
    run = await made(tenant, PASSED_ON, "id,memo\nA,yes\nB,good\n", short)
    (row,) = await listed(tenant, run)
    assert (row["rule_id"], row["phase"]) == ("schema:memo:length", "input")
    sent = await do(tenant.api, await do(tenant.api, row, "waive", reason="fine", expires_on=LATER), "resubmit")
    assert (await corrected(tenant.api, sent))["status"] == "succeeded"
    (file,) = [path for path in tenant.outbox.iterdir() if ".correction-" in path.name]
    assert file.read_text().splitlines()[1:] == ["B,good"]


async def test_what_still_does_not_fit_comes_back(tenant: Tenant) -> None:
    """A record that the transform holds again is open again, once."""
    api, run = tenant.api, await made(tenant, PASSED_ON)
    (long,) = await listed(tenant, run, key="C")
    sent = await do(api, long, "resubmit")
    assert (await corrected(api, sent))["records_held"] == 1
    ended = await until(api, f"/v1/resubmissions/{sent['id']}", "ended")
    assert (ended["reported"], ended["reopened"]) == (0, 1)
    (again,) = await listed(tenant, run, key="C")
    assert (again["id"], again["status"]) == (long["id"], "open")
    changes = [{"field": "memo", "value": "longer still", "replaces": "too long"}]
    sent = await do(api, await do(api, again, "amend", reason="typed too much", changes=changes), "resubmit")
    assert (await corrected(api, sent))["records_held"] == 1
    await until(api, f"/v1/resubmissions/{sent['id']}", "ended")
    (newest,) = await listed(tenant, run, key="C")
    assert (newest["id"], newest["status"], newest["fields"]) == (long["id"], "open", {"memo": "longer still"})


async def test_a_row_of_many_is_resubmitted_as_its_record(tenant: Tenant) -> None:
    """Where a record has two rows, what is sent again is the record behind the row that failed."""
    api, run = tenant.api, await made(tenant, PythonTransform(kind="python", yields="one_to_many", code=LEGS))
    assert run["status"] == "partial", run["reason"]
    rows = await listed(tenant, run)
    assert {(row["ordinal"], row["phase"], row["rule_name"]) for row in rows} == {(2, "output", "not bad")}
    sent = await do(api, rows[0], "resubmit")
    assert (sent["records"], (await corrected(api, sent))["records_out"]) == (1, 0)
    ended = await until(api, f"/v1/resubmissions/{sent['id']}", "ended")
    assert (ended["reported"], ended["reopened"]) == (0, len(rows)), "held again, as the same exception"
    (row,) = await listed(tenant, run)
    changes = [{"field": "memo", "value": "fine", "replaces": "bad"}]
    sent = await do(api, await do(api, row, "amend", reason="better", changes=changes), "resubmit")
    assert (await corrected(api, sent))["status"] == "succeeded"
    assert (await until(api, f"/v1/resubmissions/{sent['id']}", "ended"))["reported"] == 1
    files = [path.read_text() for path in tenant.outbox.iterdir() if ".correction-" in path.name]
    assert sorted(line for text in files for line in text.splitlines()[1:]) == ["B,fine", "B/2,fine"]


async def test_a_total_is_not_sent_again_in_part(tenant: Tenant) -> None:
    """A row that stands for many records is seen, and can be waived; its records are not sent without the others."""
    api = tenant.api
    run = await made(
        tenant, SqlTransform(kind="sql", yields="aggregate", query=TOTALS), CONTENT.replace("too long", "bad")
    )
    (row,) = await listed(tenant, run)
    with pytest.raises(ApiError, match="stands for many records"):
        await do(api, row, "resubmit")
    assert (await do(api, row, "waive", reason="it is that bad", expires_on=LATER))["status"] == "waived"


async def test_exceptions_outlive_their_rule(tenant: Tenant) -> None:
    """A rule that no report uses any more is archived; what it held is listed, decided about and sent all the same."""
    api, filing = tenant.api, await filed(tenant, payments())
    run = await filing.run()
    without = await publish(api, "/v1/rules", "anything", RuleSpec(
        schema_id=filing.schema, check=ExpressionCheck(expression="amount is not null")
    ))  # fmt: skip
    source = FileSource(connector_id=filing.connector, file="payments-{business_date}.csv")
    spec = report_spec(source, filing.schema, UUID(str(without)), filing.destination, (CsvOutput(),))
    await api.change(f"/v1/reports/{filing.report}", {"name": "payments", "spec": spec.model_dump(mode="json")})
    await api.post(f"/v1/reports/{filing.report}/publish", {"effective_from": "2000-01-01"})
    await api.post(f"/v1/rules/{filing.rule}/archive")
    rows = await listed(tenant, run, rule_id=str(filing.rule))
    assert [row["status"] for row in rows] == ["open"] * 3
    (group,) = (await api.get("/v1/exceptions/groups", run_id=run["id"]))["items"]
    assert (group["rule_name"], group["open"]) == ("amount positive", 3)
    waived = await do(api, rows[0], "waive", reason="a free one", expires_on=LATER)
    changes = [{"field": "amount", "value": "7.00"}]
    amended = await do(api, rows[1], "amend", reason="sign", changes=changes)
    for row, versions, out in ((waived, "pinned", 1), (amended, "pinned", 1), (rows[2], "latest", 1)):
        sent = await do(api, row, "resubmit", versions=versions)
        correction = await corrected(api, sent)
        assert (correction["status"], correction["records_out"]) == ("succeeded", out), correction["reason"]
        await until(api, f"/v1/resubmissions/{sent['id']}", "ended")
    assert {row["status"] for row in await listed(tenant, run)} == {"closed"}
