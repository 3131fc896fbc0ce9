"""Nobody forges a tenant on the bus: not by a subject, not by an envelope (S37)."""

import asyncio
import copy
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from deploy.local.nats import Nats
from libs.common.bus.connection import connect
from libs.common.bus.nats_config import accounts
from libs.common.bus.reader import Reader, require_own_subject
from libs.common.bus.topology import API_PREFIX, TOPOLOGY
from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.errors import Refusal
from libs.common.events.auth import TenantChanged
from libs.common.events.envelope import Event, envelope, parse
from libs.common.ids import uuid7
from libs.common.tenancy import on_tenant_changed
from tests.bus.faults import account_faults
from tests.tenancy.conftest import Scratch

A, B = UUID(int=0xA, version=4), UUID(int=0xB, version=4)
NOW = datetime(2026, 3, 6, tzinfo=UTC)


def configured() -> dict[str, Any]:
    """Return the accounts as the server is given them."""
    return accounts(TOPOLOGY, dict.fromkeys(TOPOLOGY.users, "U"))


def test_no_account_reaches_what_is_anothers() -> None:
    """Permissions, imports and exports of each service cover its own subjects and durables only (S37)."""
    assert account_faults(configured()) == set()


WILDCARDS = {
    "permission": lambda found: found["RUNNER"]["users"][0]["permissions"]["publish"]["allow"].append("evt.>"),
    "listening": lambda found: found["RUNNER"]["users"][0]["permissions"]["subscribe"]["allow"].append("evt.*.>"),
    "import": lambda found: found["RUNNER"]["imports"].append({"service": {"account": "BUS", "subject": "work.*.>"}}),
    "export": lambda found: found["BUS"]["exports"].append({"service": "$JS.API.>", "accounts": ["RUNNER"]}),
    "another's queue": lambda found: found["RUNNER"]["imports"].append(
        {"service": {"account": "BUS", "subject": "$JS.API.CONSUMER.MSG.NEXT.WORK.*"}}
    ),
}


@pytest.mark.parametrize("plant", WILDCARDS.values(), ids=WILDCARDS.keys())
def test_a_wildcard_too_many_is_found(plant: Any) -> None:
    """Leak: a subject with a wildcard where a name belongs (S37)."""
    found = copy.deepcopy(configured())
    plant(found)
    assert any(fault.startswith("runner may ") for fault in account_faults(found))


def event(tenant: UUID, source: str = "auth", name: str = "tenant.suspended") -> bytes:
    """Return an event that says that a tenant is suspended."""
    data = TenantChanged(tenant_id=tenant, name="x", status="suspended")
    context = Context(tenant, "service:auth", NOW)
    return envelope(context, source=source, name=name, data=data, entity=str(tenant), id=uuid7(NOW), sequence=1)


FORGED = {
    "another tenant's subject": (f"evt.{B}.auth.tenant.suspended", event(A)),
    "a star as the tenant": ("evt.*.auth.tenant.suspended", event(A)),
    "no tenant at all": ("evt.x.auth.tenant.suspended", event(A)),
    "another service's name": (f"evt.{A}.auth.tenant.suspended", event(A, source="catalog")),
    "another fact": (f"evt.{A}.auth.tenant.suspended", event(A, name="tenant.resumed")),
}


@pytest.mark.parametrize(("subject", "body"), FORGED.values(), ids=FORGED.keys())
def test_an_envelope_that_contradicts_its_subject_is_refused(subject: str, body: bytes) -> None:
    """The server says who published under which subject; what the body says beside it counts for nothing (S37)."""
    with pytest.raises(Refusal):
        require_own_subject(parse(body), subject)


def test_an_envelope_that_agrees_is_taken() -> None:
    """What refuses above is the contradiction."""
    parsed: Event = parse(event(A))
    require_own_subject(parsed, f"evt.{A}.auth.tenant.suspended")


@pytest.fixture
async def database(scratch: Scratch) -> AsyncIterator[Database]:
    """Yield the scheduler's pool on a database of its own."""
    async with Database.open(scratch.urls["scheduler_server"], service="scheduler", size=2) as opened:
        yield opened


async def test_forged_events_change_nobodys_rows(scratch: Scratch, database: Database, nats_server: Nats) -> None:
    """Read from a real stream they become dead letters; the one honest event beside them is applied (S37)."""
    honest = uuid4()
    async with nats_server.connect("auth") as auth:
        stream = auth.jetstream(prefix=API_PREFIX)
        for subject, body in (*FORGED.values(), (f"evt.{honest}.auth.tenant.suspended", event(honest))):
            await stream.publish(subject, body)
    subscriptions = {"evt.*.auth.tenant.*": on_tenant_changed}
    seed, lock = nats_server.seeds["scheduler"], scratch.urls["scheduler_relay"]
    async with connect(nats_server.url, service="scheduler", seed_file=seed) as bus:
        reader = Reader(database, bus, service="scheduler", lock_url=lock, subscriptions=subscriptions)
        reading = asyncio.create_task(reader.run())
        try:
            async with asyncio.timeout(30):
                while not (found := await scratch.admin.fetch("SELECT tenant_id FROM scheduler.tenant_state")):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    assert [row["tenant_id"] for row in found] == [honest]
    buried = await scratch.admin.fetch("SELECT subject, body FROM scheduler.outbox WHERE subject LIKE 'dlq.%'")
    assert len(buried) == len(FORGED)
    assert all("envelope says" in orjson.loads(row["body"])["reason"] for row in buried)
