"""Trouble: the run fails at its step in words that people understand, nothing leaves, and a rerun goes on after repair."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from examples.broker_week.job import connector, publish
from examples.client import ApiError
from libs.common.vocabulary.reports import CsvOutput, QuerySource, XmlOutput
from libs.common.vocabulary.xsd import XsdFile, XsdSetSpec
from tests.system.payments import SCHEMA, Filing, described, edit, filed, rule_spec
from tests.system.proof import assert_balanced, assert_delivered_as_promised
from tests.system.world import SourceDatabase, Tenant, World

TABLE = """
CREATE TABLE payments (id text, amount numeric(12, 2), booked date);
INSERT INTO payments VALUES ('P1', 10.00, '2026-03-05'), ('P2', 20.00, '2026-03-06');
"""
QUERY = "SELECT * FROM payments ORDER BY id"
DOCUMENT = '<payments xmlns="urn:p" xmlns:r="urn:regent:template"><r:records/></payments>'
RECORD = '<payment xmlns="urn:p"><id>{id}</id><amount>{amount}</amount></payment>'


def xsd(most: int) -> XsdSetSpec:
    """Return a schema of payments of at most `most`."""
    content = f"""<schema xmlns="http://www.w3.org/2001/XMLSchema" xmlns:p="urn:p" targetNamespace="urn:p" elementFormDefault="qualified">
      <element name="payments"><complexType><sequence><element ref="p:payment" maxOccurs="unbounded"/></sequence></complexType></element>
      <element name="payment"><complexType><sequence><element name="id" type="string"/><element name="amount"><simpleType>
        <restriction base="decimal"><maxInclusive value="{most}"/></restriction></simpleType></element></sequence></complexType></element>
    </schema>"""
    return XsdSetSpec(files=(XsdFile(name="payments.xsd", content=content),))


async def over_database(
    tenant: Tenant, source: SourceDatabase, *, port: int | None = None, password: str | None = None
) -> Filing:
    """Publish the report of payments over a database."""
    secret = {"password": source.password if password is None else password}
    database = await connector(tenant.api, "bookings", source.connector(port), secret)
    return await described(tenant, database, QuerySource(connector_id=database, query=QUERY))


def assert_failed(run: dict[str, Any], tenant: Tenant, step: str, *words: str) -> None:
    """Check that the run failed at the step, says so in these words, and delivered nothing."""
    assert (run["status"], run["step"]) == ("failed", step), run
    for word in words:
        assert word in run["reason"], run["reason"]
    assert not any(sign in run["reason"] for sign in ("Traceback", "Error(", "asyncpg", "<class")), run["reason"]
    assert tenant.delivered() == []
    assert run["deliveries"] == []


def assert_went_on(again: dict[str, Any], tenant: Tenant, *, out: int) -> None:
    """Check that the repetition came to its end and delivered."""
    assert again["records_out"] == out, again["reason"]
    assert_balanced(again)
    assert_delivered_as_promised(again, tenant)


@asynccontextmanager
async def relayed(port: int, source: SourceDatabase) -> AsyncIterator[None]:
    """Let a port lead to the source, as when a database comes back."""
    place = urlsplit(source.url)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(place.hostname, place.port)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        yield


async def test_source_down(world: World, tenant: Tenant) -> None:
    """A source that refuses connections: the run names it, and goes on when it is back."""
    source = await world.database(TABLE)
    filing = await over_database(tenant, source, port=world.closed_port)
    run = await filing.run()
    assert_failed(run, tenant, "extract", f"127.0.0.1:{world.closed_port}", "cannot be reached")
    async with relayed(world.closed_port, source):
        again = await filing.rerun(run["id"])
    assert again["status"] == "succeeded"
    assert_went_on(again, tenant, out=2)


async def test_wrong_password(world: World, tenant: Tenant) -> None:
    """A wrong password: the run says so without saying it, and goes on once the right one was stored."""
    source = await world.database(TABLE)
    filing = await over_database(tenant, source, password="not-the-password")
    run = await filing.run()
    assert_failed(run, tenant, "extract", "wrong password", source.name)
    assert "not-the-password" not in str(run)
    await tenant.api.put(f"/v1/connectors/{filing.connector}/secret", {"secret": {"password": source.password}})
    assert_went_on(await filing.rerun(run["id"]), tenant, out=2)


async def test_missing_column(world: World, tenant: Tenant) -> None:
    """A column that the schema expects and the source lacks is named, and so are those that it has."""
    source = await world.database(TABLE, "ALTER TABLE payments RENAME COLUMN booked TO booked_on")
    filing = await over_database(tenant, source)
    run = await filing.run()
    assert_failed(run, tenant, "extract", "no column 'booked'", "booked_on")
    await source.execute("ALTER TABLE payments RENAME COLUMN booked_on TO booked")
    assert_went_on(await filing.rerun(run["id"]), tenant, out=2)


async def test_type_that_does_not_fit(world: World, tenant: Tenant) -> None:
    """A column of a type that cannot be read as the schema's is named with both types."""
    source = await world.database(TABLE, "ALTER TABLE payments ALTER COLUMN amount TYPE boolean USING true")
    filing = await over_database(tenant, source)
    run = await filing.run()
    assert_failed(run, tenant, "extract", "'amount'", "boolean", "decimal")
    await source.execute("ALTER TABLE payments ALTER COLUMN amount TYPE numeric USING 7")
    assert_went_on(await filing.rerun(run["id"]), tenant, out=2)


async def test_xml_that_does_not_validate(tenant: Tenant) -> None:
    """A document that breaks its schema never leaves; the run names the record, and a corrected schema lets it out."""
    schema = await publish(tenant.api, "/v1/xsd-sets", "payments", xsd(most=10))
    xml = XmlOutput(xsd_set_id=schema, document=DOCUMENT, record=RECORD)
    filing = await filed(tenant, outputs=(CsvOutput(), xml))
    run = await filing.run()
    assert_failed(run, tenant, "render", "amount")
    pinned = await filing.rerun(run["id"])
    assert_failed(pinned, tenant, "render", "amount")
    kept = {step["step"] for step in pinned["steps"] if step["reused_from"] == run["id"]}
    assert kept >= {"extract", "validate", "transform"}
    await edit(tenant.api, f"/v1/xsd-sets/{schema}", xsd(most=1000))
    assert_went_on(await _rerun_with_second(filing, run["id"], schema), tenant, out=19)


async def _rerun_with_second(filing: Filing, run_id: str, id_: UUID) -> Any:
    """Repeat a run with the latest versions, once the runner has heard of the second version of a definition."""
    async with asyncio.timeout(30):
        while True:
            again = await filing.rerun(run_id, "latest")
            if any((pin["id"], pin["number"]) == (str(id_), 2) for pin in again["pins"]):
                return again


@pytest.mark.parametrize(
    ("expression", "column"), [("amount >", 9), ("amount > 0 and", 15), ("amont > 0", 1), ("amount > 'x'", 10)]
)
async def test_rule_that_does_not_parse(tenant: Tenant, expression: str, column: int) -> None:
    """A rule that cannot be understood is refused with the place of the mistake, and never reaches a run."""
    schema = await publish(tenant.api, "/v1/schemas", "payments", SCHEMA)
    with pytest.raises(ApiError) as caught:
        await publish(tenant.api, "/v1/rules", "broken", rule_spec(schema, expression))
    problem = caught.value.problem
    assert caught.value.status == 422
    (fault,) = problem["errors"]
    assert fault["field"] == "/spec/check/expression"
    assert fault["message"].startswith(f"line 1, column {column}: ")
