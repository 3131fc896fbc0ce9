"""A run of one source row, durable at each step, against bare JetStream round trips under the same sync setting.

File connector, one rule, CSV to a directory, through the running system: from the request being sent to the run's end.
`python -m bench.run_latency [--runs N]`; exits with 1 when a bar is missed.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import asyncpg

from bench.bars import Bars
from deploy.local.configuration import Configuration
from deploy.local.nats import Nats
from deploy.local.processes import free_port
from deploy.local.setup import setup_token
from deploy.local.stack import Stack
from examples.broker_week.job import connector, publish, start
from examples.client import Api
from examples.demo import first_tenant
from libs.common.vocabulary.connections import DirectoryDestination, FileConnector
from libs.common.vocabulary.reports import CsvOutput, FileSource, ReportSpec
from libs.common.vocabulary.rules import ExpressionCheck, RuleSpec
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.common.vocabulary.transforms import FieldMapping, Transform

_DAY = date(2026, 3, 6)
_AS_OF = datetime(2026, 3, 9, tzinfo=UTC)
_BAR, _HOPS = 60, 8
_ENDED = "SELECT ended_at FROM runner.run WHERE id = $1 AND status = 'succeeded'"
# what the run's end waited for: pokes of both workers, the question, the verdict
_ON_THE_WAY = """
SELECT subject FROM {service}.outbox WHERE position(convert_to($1, 'UTF8') IN body) > 0
AND (subject LIKE 'work.%' OR subject LIKE '%.validation.%')
"""


async def report_over_one_row(api: Api, home: Path) -> UUID:
    """Publish a report over a file with one row; returns its id."""
    (home / "in" / f"{_DAY}.csv").write_text("id,amount\nP1,10.25\n", encoding="utf-8")
    fields = (SchemaField(name="id", type="text", required=True), SchemaField(name="amount", type="decimal", scale=2))
    schema = await publish(api, "/v1/schemas", "payments", SchemaSpec(fields=fields))
    check = ExpressionCheck(expression="amount > 0")
    rule = await publish(api, "/v1/rules", "positive", RuleSpec(schema_id=schema, check=check))
    files = await connector(api, "files", FileConnector(root="in"), {})
    destination = await publish(api, "/v1/destinations", "out", DirectoryDestination(root="out"))
    spec = ReportSpec(
        source=FileSource(connector_id=files, file="{business_date}.csv"),
        source_schema_id=schema,
        business_key=("id",),
        rules=(rule,),
        target_schema_id=schema,
        transform=Transform(fields=tuple(FieldMapping(field=f.name, expression=f.name) for f in fields)),
        outputs=(CsvOutput(),),
        destinations=(destination,),
    )
    return await publish(api, "/v1/reports", "payments", spec)


async def one_run(api: Api, connection: Any, report: UUID) -> tuple[float, UUID]:
    """Run the report once; returns the seconds from sending the request to the commit of the run's end, and the run.

    Raises:
        TimeoutError: it does not succeed.
    """
    began = time.perf_counter()
    run_id = await start(api, report, _DAY, _AS_OF)
    async with asyncio.timeout(60):
        while await connection.fetchval(_ENDED, run_id) is None:  # noqa: ASYNC110 - the database tells nobody; asking more often would slow the run
            await asyncio.sleep(0.005)
    return time.perf_counter() - began, run_id


async def bare_round_trips(nats: Nats, count: int) -> list[float]:
    """Publish, pull and acknowledge one message at a time, under the account of a service that is not running."""
    seconds = []
    async with nats.connect("scheduler") as client:
        stream = client.jetstream(prefix="BUS")
        subscription = await stream.pull_subscribe_bind(durable="scheduler", stream="WORK")
        for _ in range(count):
            began = time.perf_counter()
            await stream.publish("work.scheduler.bench", b"x" * 300)
            (message,) = await subscription.fetch(1, timeout=10)
            await message.ack_sync()
            seconds.append(time.perf_counter() - began)
        await subscription.unsubscribe()
    return seconds


async def hops(connection: Any, run_id: UUID) -> list[str]:
    """Return the subjects of the bus messages that a run's end waited for."""
    found: list[str] = []
    for service in ("runner", "validator"):
        rows = await connection.fetch(_ON_THE_WAY.format(service=service), str(run_id))
        found += [row["subject"] for row in rows]
    return found


async def compare(stack: Stack, home: Path, runs: int) -> int:
    """Measure both in turns, so that what else the machine does burdens both; returns the number of missed bars."""
    bars = Bars()
    url = stack.configuration.public_url
    credentials = await first_tenant(url, await setup_token(stack))
    connection = await asyncpg.connect(stack.postgres.url(database="regent"))
    async with Api(url, credentials.client_id, credentials.client_secret) as api:
        report = await report_over_one_row(api, home)
        for _ in range(5):
            await one_run(api, connection, report)
        ours: list[float] = []
        bare: list[float] = []
        for _ in range(runs):
            bare += await bare_round_trips(stack.nats, 5)
            seconds, run_id = await one_run(api, connection, report)
            ours.append(seconds)
    path = await hops(connection, run_id)
    await connection.close()
    bars.report("bare publish-pull-ack, p50", f"{median(bare) * 1e3:.2f} ms")
    bars.report("one-row run, p50 / p90", f"{median(ours) * 1e3:.1f} / {sorted(ours)[int(runs * 0.9)] * 1e3:.1f} ms")
    bars.report("hops", ", ".join(path))
    bars.check("one-row run in bare round trips, p50", median(ours) / median(bare), _BAR)
    bars.check("hops of a run", len(path), _HOPS)
    return bars.missed


async def _run(home: Path, runs: int) -> int:
    for place in ("in", "out"):
        (home / place).mkdir()
    configuration = Configuration(
        data=home / "data",
        port=free_port(),
        source_roots={"*": {"in": str(home / "in")}},
        destination_roots={"*": {"out": str(home / "out")}},
    )
    async with Stack(configuration, lambda _name, _line: None, without=("scheduler",)) as stack:
        return await compare(stack, home, runs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=60)
    runs: int = parser.parse_args(arguments).runs
    with tempfile.TemporaryDirectory(prefix="regent-bench-", ignore_cleanup_errors=True) as home:
        return 1 if asyncio.run(_run(Path(home), runs)) else 0


if __name__ == "__main__":
    sys.exit(main())
