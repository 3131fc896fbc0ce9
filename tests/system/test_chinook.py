"""A plain report on a database that nobody made for us: the invoices of a record shop."""

import csv
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from examples.broker_week.job import connector, publish, start, wait
from libs.common.vocabulary.reports import CsvOutput, JsonOutput, QuerySource, ReportSpec
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.common.vocabulary.transforms import FieldMapping, Transform
from tests.system.proof import assert_balanced, assert_delivered_as_promised
from tests.system.world import SHARED, Tenant, World

CHINOOK = SHARED / "data" / "chinook" / "Chinook_PostgreSql.sql"
DAY = date(2026, 3, 6)
QUERY = """
SELECT invoice_id, customer_id, invoice_date AT TIME ZONE 'UTC' AS invoiced_at, billing_country AS country, total
FROM invoice ORDER BY invoice_id
"""
SCHEMA = SchemaSpec(
    fields=(
        SchemaField(name="invoice_id", type="integer", required=True),
        SchemaField(name="customer_id", type="integer", required=True),
        SchemaField(name="invoiced_at", type="timestamp", required=True),
        SchemaField(name="country", type="text", max_length=40),
        SchemaField(name="total", type="decimal", precision=10, scale=2, required=True),
    )
)

pytestmark = pytest.mark.skipif(not CHINOOK.is_file(), reason="chinook is not beside this clone (../shared/data)")


async def test_invoices_become_csv_and_json(world: World, tenant: Tenant) -> None:
    """All 412 invoices go out in both formats, and their totals add up to those of the source."""
    tables = CHINOOK.read_text(encoding="utf-8").partition("\\c chinook;")[2]
    source = await world.database(tables)
    shop = await connector(tenant.api, "shop", source.connector(), {"password": source.password})
    schema = await publish(tenant.api, "/v1/schemas", "invoices", SCHEMA)
    destination = await publish(tenant.api, "/v1/destinations", "outbox", tenant.destination)
    spec = ReportSpec(
        source=QuerySource(connector_id=shop, query=QUERY),
        source_schema_id=schema,
        business_key=("invoice_id",),
        target_schema_id=schema,
        transform=Transform(fields=tuple(FieldMapping(field=f.name, expression=f.name) for f in SCHEMA.fields)),
        outputs=(CsvOutput(), JsonOutput(format="json")),
        destinations=(destination,),
    )
    report = await publish(tenant.api, "/v1/reports", "invoices", spec)
    run = await wait(tenant.api, await start(tenant.api, report, DAY, datetime(2026, 3, 9, tzinfo=UTC)))
    assert (run["status"], run["records_in"], run["records_out"]) == ("succeeded", 412, 412), run["reason"]
    assert_balanced(run)
    assert_delivered_as_promised(run, tenant)
    with (tenant.outbox / f"invoices-{DAY}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    text = (tenant.outbox / f"invoices-{DAY}.json").read_text(encoding="utf-8")
    objects = json.loads(text, parse_float=Decimal)
    assert sum(Decimal(row["total"]) for row in rows) == sum(Decimal(o["total"]) for o in objects) == Decimal("2328.60")
    assert [int(row["invoice_id"]) for row in rows] == [one["invoice_id"] for one in objects] == list(range(1, 413))
    assert [row["country"] for row in rows] == [one["country"] for one in objects]
