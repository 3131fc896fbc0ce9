"""Amendments of values that the source has as values, not as texts: a database's numbers, dates, moments and truths."""

from datetime import timedelta
from typing import Any

from examples.broker_week.job import connector, publish
from libs.common.vocabulary.reports import CsvOutput, QuerySource, ReportSpec
from libs.common.vocabulary.rules import ExpressionCheck, RuleSpec
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.common.vocabulary.transforms import FieldMapping, Transform
from tests.system.payments import DAY, Filing
from tests.system.test_exceptions import do
from tests.system.world import SourceDatabase, Tenant, World

TABLE = """
CREATE TABLE trade (id text, note text, amount numeric(20, 6), lots bigint, paid boolean, day date, at timestamptz);
INSERT INTO trade VALUES
    ('A', 'much too long', -1.5, -1, false, '2026-03-02', '2026-03-02 00:00:00Z'),
    ('B', 'ok', 2, 1, true, '2026-03-03', '2026-03-02 00:00:00.123456Z')
"""
SCHEMA = SchemaSpec(
    fields=(
        SchemaField(name="id", type="text", required=True),
        SchemaField(name="note", type="text", max_length=4),
        SchemaField(name="amount", type="decimal", scale=2),
        SchemaField(name="lots", type="integer"),
        SchemaField(name="paid", type="boolean"),
        SchemaField(name="day", type="date"),
        SchemaField(name="at", type="timestamp"),
    )
)
RULES = {
    "amount": "amount > 0",
    "lots": "lots > 0",
    "paid": "paid",
    "day": "day > date('2026-03-02')",
    "at": "at > timestamp('2026-03-02T00:00:00Z')",
}
NEW = {
    "note": "n", "amount": "2", "lots": "7", "paid": "true", "day": "2026-03-04", "at": "2026-03-04T00:00:00Z"
}  # fmt: skip
CAUGHT_UP = "UPDATE trade SET note = 'n', amount = 2, lots = 7, paid = true, day = '2026-03-04', at = '2026-03-04 00:00:00Z' WHERE id = 'A'"


async def of_database(tenant: Tenant, source: SourceDatabase) -> Filing:
    """Publish a report over the table, with a rule for each field."""
    api = tenant.api
    server = await connector(api, "trades", source.connector(), {"password": source.password})
    schema = await publish(api, "/v1/schemas", "trades", SCHEMA)
    rules = [
        await publish(api, "/v1/rules", name, RuleSpec(schema_id=schema, check=ExpressionCheck(expression=text)))
        for name, text in RULES.items()
    ]
    destination = await publish(api, "/v1/destinations", "outbox", tenant.destination)
    spec = ReportSpec(
        source=QuerySource(connector_id=server, query="SELECT * FROM trade ORDER BY id"),
        source_schema_id=schema,
        business_key=("id",),
        rules=tuple(rules),
        target_schema_id=schema,
        transform=Transform(fields=tuple(FieldMapping(field=f.name, expression=f.name) for f in SCHEMA.fields)),
        outputs=(CsvOutput(),),
        destinations=(destination,),
    )
    report = await publish(api, "/v1/reports", "trades", spec)
    return Filing(tenant, server, schema, rules[0], destination, report)


async def statuses(tenant: Tenant) -> dict[str, str]:
    """Return the status of each amendment by the field that it changes."""
    rows: list[Any] = (await tenant.api.get("/v1/amendments"))["items"]
    return {next(iter(row["changes"])): row["status"] for row in rows}


async def test_values_of_every_type_are_amended_apply_and_retire(world: World, tenant: Tenant) -> None:
    """A field that is text from then on is judged as one, beside others that stay what they are (S20, S28)."""
    source = await world.database(TABLE)
    filing = await of_database(tenant, source)
    run = await filing.run()
    assert (run["status"], run["records_held"]) == ("partial", 1), run["reason"]
    rows = (await tenant.api.get("/v1/exceptions", run_id=run["id"]))["items"]
    for row in rows:
        (field,) = row["fields"]
        await do(tenant.api, row, "amend", reason="wrong", changes=[{"field": field, "value": NEW[field]}])
    assert await statuses(tenant) == dict.fromkeys(NEW, "active")
    second = await filing.run(DAY + timedelta(days=1))
    assert (second["status"], second["records_out"]) == ("succeeded", 2), second["reason"]
    (sent,) = [path for path in tenant.outbox.iterdir() if str(DAY + timedelta(days=1)) in path.name]
    assert sent.read_text().splitlines()[1] == ",".join(["A", *NEW.values()])
    assert await statuses(tenant) == dict.fromkeys(NEW, "active")
    await source.execute(CAUGHT_UP)
    third = await filing.run(DAY + timedelta(days=2))
    assert (third["status"], third["records_out"]) == ("succeeded", 2), third["reason"]
    assert await statuses(tenant) == dict.fromkeys(NEW, "retired")
