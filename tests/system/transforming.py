"""Reports whose transform is a tenant's code: the code, a file of payments, a run, and what became of it."""

import asyncio
import csv
from typing import Any
from uuid import UUID

from examples.broker_week.job import connector, publish, start, wait
from libs.common.vocabulary.connections import FileConnector
from libs.common.vocabulary.reports import CsvOutput, FileSource, ReportSpec
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.common.vocabulary.transforms import AnyTransform
from tests.system.payments import AS_OF, DAY, SCHEMA, rule_spec
from tests.system.world import Tenant

ROWS = "".join(f"P{n},{n - 1}.50,2026-03-{n % 3 + 1:02}\n" for n in range(1, 11))
CONTENT = f"id,amount,booked\nP0,-1.00,2026-03-01\n{ROWS}"
"""Eleven payments: the first breaks the rule that amounts are positive and is held."""
TOTALS = SchemaSpec(
    fields=(
        SchemaField(name="day", type="date", required=True),
        SchemaField(name="total", type="decimal", scale=2),
        SchemaField(name="payments", type="integer"),
    )
)
LEGS = '''
import logging

import polars as pl


def transform(batches, params):
    """Two legs of each payment; small ones are left out."""
    for frame in batches.polars():
        print("a batch of", frame.height)
        small = pl.col("amount") < params["least"]
        frame = frame.with_columns(pl.when(small).then(pl.lit("below the limit")).alias("_dropped"))
        yield frame
        yield frame.filter(pl.col("_dropped").is_null()).with_columns(-pl.col("amount"), pl.col("id") + "/2")
    logging.info("done")
'''
BY_DAY = """
import pyarrow as pa


def transform(batches, params):
    days = {}
    for batch in batches:
        for row in batch.to_pylist():
            days.setdefault(row["booked"], []).append(row)
    for day, rows in sorted(days.items()):
        yield pa.table({
            "day": [day],
            "total": [sum(row["amount"] for row in rows)],
            "payments": [len(rows)],
            "_ordinals": [[row["_ordinal"] for row in rows]],
            "_key": [day.isoformat()],
        })
"""


PASSING = "def transform(batches, params):\n    yield from batches\n"
SLOW = "import time\ndef transform(batches, params):\n    time.sleep(3)\n    yield from batches\n"
FRAMES = """
import polars as pl


def transform(batches, params):
    for frame in batches.polars():
        yield frame.with_columns(pl.col("amount") * 2)
"""


async def reported(
    tenant: Tenant, transform: AnyTransform, target: SchemaSpec = SCHEMA, content: str = CONTENT
) -> UUID:
    """Publish a report with this transform over a file of payments."""
    api = tenant.api
    (tenant.inbox / f"payments-{DAY}.csv").write_text(content, encoding="utf-8")
    files = await connector(api, "files", FileConnector(root="inbox", path=tenant.inbox.name), {})
    schema = await publish(api, "/v1/schemas", "payments", SCHEMA)
    wanted = schema if target is SCHEMA else await publish(api, "/v1/schemas", "totals", target)
    rule = await publish(api, "/v1/rules", "amount positive", rule_spec(schema))
    spec = ReportSpec(
        source=FileSource(connector_id=files, file="payments-{business_date}.csv"),
        source_schema_id=schema,
        business_key=("id",),
        rules=(rule,),
        target_schema_id=wanted,
        transform=transform,
        outputs=(CsvOutput(),),
        destinations=(await publish(api, "/v1/destinations", "outbox", tenant.destination),),
    )
    return await publish(api, "/v1/reports", "payments", spec)


async def run(tenant: Tenant, report: UUID, seconds: float = 120) -> Any:
    """Run a report to its end."""
    return await wait(tenant.api, await start(tenant.api, report, DAY, AS_OF), seconds)


async def reaches(tenant: Tenant, run_id: UUID, status: str, seconds: float = 60) -> None:
    """Wait until a run is in a status."""
    async with asyncio.timeout(seconds):
        while (await tenant.api.get(f"/v1/runs/{run_id}"))["status"] != status:  # noqa: ASYNC110 - it happens elsewhere
            await asyncio.sleep(0.05)


def delivered(tenant: Tenant) -> list[dict[str, str]]:
    """Return the rows of the one delivered file."""
    (name,) = tenant.delivered()
    with (tenant.outbox / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def step(shown: Any, name: str) -> dict[str, int]:
    """Return the counts of one step that are not zero."""
    (found,) = [row for row in shown["ledger"] if row["step"] == name]
    return {key: value for key, value in found.items() if key != "step" and value}


async def became(tenant: Tenant, report: UUID, key: str) -> Any:
    """Ask what became of a record."""
    return await tenant.api.get(f"/v1/reports/{report}/records/{key}", business_date=str(DAY))
