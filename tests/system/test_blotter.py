"""The main job on a broker's blotter of 5,049 rows with 120 known defects, and on a permuted copy of it."""

import csv
import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from lxml import etree

from examples.broker_week import job
from examples.broker_week.definitions import database_source, definitions
from examples.broker_week.rules import EXPECTED
from examples.broker_week.source import DDL
from examples.broker_week.trades import Trade
from tests.system.backstage import assert_one_entry_for_every_change, settled
from tests.system.blotter.blotter import Answer, Blotter, Row, answer_key, read
from tests.system.blotter.independent import expected
from tests.system.blotter.permutation import permuted
from tests.system.blotter.readback import identity, reported, transactions
from tests.system.proof import (
    assert_balanced,
    assert_delivered_as_promised,
    exported_bodies,
    trail_after,
    verified_offline,
)
from tests.system.world import SHARED, SourceDatabase, Tenant, World, connected

BLOTTER, XSD = SHARED / "data" / "blotter", SHARED / "regulatory" / "xsd"
DAY, AS_OF = date(2025, 3, 10), datetime(2025, 3, 11, tzinfo=UTC)
BRANCH = "IE"
XSD_FILES = ("head.003.001.01.xsd", "head.001.001.01.xsd", "auth.016.001.02.xsd")
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd"

pytestmark = pytest.mark.skipif(not BLOTTER.is_dir(), reason="the blotter is not beside this clone (../shared/data)")


@dataclass(frozen=True, slots=True)
class Done:
    """A finished run with its answer key."""

    blotter: Blotter
    key: list[Answer]
    tenant: Tenant
    report: str
    run: dict[str, Any]
    folder: Path

    @property
    def good(self) -> list[Row]:
        """The rows that are not defective, each trade's cancellation before its next version."""
        bad = {answer.ordinal for answer in self.key}
        rows = [row for ordinal, row in enumerate(self.blotter.trades, start=1) if ordinal not in bad]
        return sorted(rows, key=lambda row: (row["trade_id"], int(row["version"]), row["action"] == "CANCEL"))

    def file(self, suffix: str) -> Path:
        """Return the delivered file of a format."""
        return self.tenant.outbox / f"transactions-{DAY}.{suffix}"

    async def record(self, row: Row) -> Any:
        """Ask what became of a row's record."""
        key = "|".join((row["trade_id"], row["version"], row["action"]))
        return await self.tenant.api.get(f"/v1/reports/{self.report}/records/{key}", business_date=DAY.isoformat())


@pytest.fixture(scope="module", params=["blotter", "permuted"])
async def done(world: World, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    original = read(BLOTTER)
    blotter, key = original, answer_key(BLOTTER, original)
    if request.param == "permuted":
        blotter, key = permuted(original, key, seed=20250311)
    tenant = await world.tenant(request.param)
    source = await world.database(DDL)
    await fill(source, blotter)
    report, run = await report_of(tenant, source, blotter)
    return Done(blotter, key, tenant, report, run, tmp_path_factory.mktemp(request.param))


async def fill(source: SourceDatabase, blotter: Blotter) -> None:
    """Load the trades as the text that they are; what is empty is null."""
    rows = [(line, *(row[name] or None for name in Trade._fields)) for line, row in enumerate(blotter.trades, start=1)]
    async with connected(source.url) as connection:
        await connection.copy_records_to_table("trades", records=rows, columns=("line", *Trade._fields))


async def report_of(tenant: Tenant, source: SourceDatabase, blotter: Blotter) -> tuple[str, dict[str, Any]]:
    """Describe the report through the API with the official XSDs, and run it once over the whole file."""
    connector = await job.connector(tenant.api, "bookings", source.connector(), {"password": source.password})
    parts = definitions(blotter.instruments, blotter.counterparties, blotter.clients, blotter.firm_lei)
    files = [XSD / name for name in XSD_FILES]
    report = await job.describe(tenant.api, parts, database_source(connector), files, tenant.destination)
    return str(report), await job.wait(tenant.api, await job.start(tenant.api, report, DAY, AS_OF))


def test_exactly_the_defective_rows_are_held(done: Done) -> None:
    """Of 5,049 rows the 120 defective ones are held and 4,929 go out; every step balances (S1)."""
    run = done.run
    counts = (run["status"], run["records_in"], run["records_out"], run["records_held"])
    assert counts == ("partial", 5049, 4929, 120), run["reason"]
    assert_balanced(run)
    assert {row["step"]: row["records_out"] for row in run["ledger"]} == {
        "extract": 5049, "validate": 4929, "transform": 4929, "render": 4929
    } | {row["step"]: 4929 for row in run["ledger"] if row["step"] in ("validate_output", "deliver")}  # fmt: skip
    assert_delivered_as_promised(run, done.tenant)


async def test_each_held_row_fails_the_rules_of_its_kind(done: Done) -> None:
    """The exceptions name, for each ordinal of the key, exactly the rules that its kind of defect breaks (S2)."""
    found: dict[int, set[str]] = defaultdict(set)
    for exception in await done.tenant.api.pages("/v1/exceptions", run_id=done.run["id"]):
        found[exception["ordinal"]].add(exception["rule_name"] or exception["rule_id"])
    assert found == {answer.ordinal: EXPECTED[answer.kind] for answer in done.key}


def test_xml_is_valid_against_the_official_schemas(done: Done, tmp_path: Path) -> None:
    """Envelope, header and report are what ISO 20022's own schemas ask for, judged by another validator."""
    imports = "".join(
        f'<import namespace="{NAMESPACE}:{name.removesuffix(".xsd")}" schemaLocation="{(XSD / name).as_uri()}"/>'
        for name in XSD_FILES
    )
    whole = tmp_path / "whole.xsd"
    whole.write_text(f'<schema xmlns="http://www.w3.org/2001/XMLSchema">{imports}</schema>', encoding="utf-8")
    document = etree.parse(done.file("xml"))
    assert document.getroot().tag == f"{{{NAMESPACE}:head.003.001.01}}BizData"
    etree.XMLSchema(etree.parse(whole)).assertValid(document)


def test_reports_say_what_the_second_opinion_says(done: Done) -> None:
    """50 random transactions of the XML hold every value of the independent calculation, and so do all others."""
    blotter = done.blotter.on(DAY)
    wanted = [expected(blotter, row, BRANCH) for row in done.good]
    found = transactions(done.file("xml"))
    for position in random.Random(50).sample(range(len(wanted)), 50):  # noqa: S311 - a sample, no secret
        assert found[position] == wanted[position]
    assert found == wanted


def test_cancellation_comes_before_the_new_version(done: Done) -> None:
    """A corrected trade is reported, cancelled and reported again, in this order."""
    order: dict[str, list[str]] = defaultdict(list)
    for kind, trade in map(reported, transactions(done.file("xml"))):
        order[trade].append(kind)
    corrected = {row["trade_id"] for row in done.good if row["version"] == "2"}
    assert corrected
    assert {tuple(order[trade]) for trade in corrected} == {("New", "Cxl", "New")}


def test_every_format_holds_the_same_records(done: Done) -> None:
    """CSV, Parquet and XML report each good row once, in the same order."""
    with done.file("csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["report_status"], row["transaction_reference"]) for row in csv.DictReader(file)]
    table = pq.read_table(done.file("parquet"), columns=["report_status", "transaction_reference"])
    assert rows == list(zip(*table.to_pydict().values(), strict=True))
    kinds = {"NEWT": "New", "CANC": "Cxl"}
    assert [(kinds[status], trade) for status, trade in rows] == list(map(reported, transactions(done.file("xml"))))
    assert Counter((kinds[status], trade) for status, trade in rows) == Counter(map(identity, done.good))


async def test_record_question_is_answered(done: Done) -> None:
    """Sent, held or never extracted: the answer says which, and why (S2)."""
    sent = await done.record(done.good[0])
    assert (sent["disposition"], len(sent["records"])) == ("sent", 1)
    answer = next(answer for answer in done.key if answer.kind == "qty-zero")
    held = await done.record(done.blotter.trades[answer.ordinal - 1])
    (record,) = held["records"]
    assert (held["disposition"], record["ordinal"]) == ("held", answer.ordinal)
    assert [reason["message"] for reason in record["reasons"]] == ["quantity 0 is not above zero"]
    never = await done.record({"trade_id": "NOBODY", "version": "1", "action": "NEW"})
    assert (never["disposition"], never["extracted"], never["records"]) == ("never extracted", False, [])


async def test_every_event_of_the_run_is_in_the_proven_trail(done: Done, world: World) -> None:
    """The exported trail, checked offline against the checkpoint kept aside, holds all that the run emitted (S3)."""
    note, entries = await trail_after(done.tenant, done.run["id"])
    said = await verified_offline(done.tenant, note, done.folder)
    assert "PROVEN" in said
    events = [orjson.loads(body) for body in exported_bodies(done.folder)]
    assert {event["id"] for event in events} >= {entry["event_id"] for entry in entries}
    of_run = Counter(event["type"] for event in events if event["data"].get("run_id") == done.run["id"])
    assert of_run["runner.run.partial.v1"] == of_run["validator.validation.completed.v1"] == 1
    assert of_run["runner.artifact.rendered.v1"] == of_run["runner.delivery.succeeded.v1"] == 3
    assert_one_entry_for_every_change(await settled(world))
