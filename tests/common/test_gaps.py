"""A reader notices that an event of an entity never came."""

import asyncio
from uuid import UUID, uuid4

import orjson
import pytest

from deploy.local.nats import Nats
from libs.common.bus.gaps import Gaps
from libs.common.bus.reader import Reader
from libs.common.bus.subscriptions import matches
from libs.common.bus.topology import TOPOLOGY
from libs.common.database.pool import Database
from libs.common.telemetry.metrics import READER_GAPS
from tests.common.test_dead_letters import Handler, said, until
from tests.common.test_pokes import SERVICE, bus, database, running

__all__ = ["bus", "database"]
_TENANT = uuid4()


def event(number: int, entity: str = "a", tenant: UUID = _TENANT) -> bytes:
    return orjson.dumps({"tenantid": str(tenant), "source": "scheduler", "subject": entity, "sequence": number})


def seen(gaps: Gaps, *events: bytes, subject: str = "evt.t.scheduler.schedule.updated") -> list[bool]:
    return [gaps.look(subject, each) for each in events]


def test_a_gap_is_seen_once() -> None:
    """Where a process begins is no gap, nor is what comes again; each entity and tenant counts by itself."""
    gaps = Gaps("catalog", ["evt.*.scheduler.schedule.*"])
    assert seen(gaps, event(4), event(5), event(5), event(4), event(6)) == [False] * 5
    assert seen(gaps, event(8), event(9), event(7)) == [True, False, False]
    assert seen(gaps, event(1, "b"), event(2, "b"), event(1, tenant=uuid4())) == [False] * 3


def test_what_is_read_in_part_is_not_compared() -> None:
    """A service that asks for some events of an entity misses the others on purpose; what is malformed is no event."""
    gaps = Gaps("catalog", ["evt.*.scheduler.schedule.*"])
    assert seen(gaps, event(1), event(9), subject="evt.t.runner.run.failed") == [False, False]
    assert seen(gaps, b"{", b"[]", b'{"tenantid": 1}', event(1)) == [False] * 4


def test_memory_is_bounded() -> None:
    """The entities that were quiet longest are forgotten first."""
    gaps = Gaps("catalog", ["evt.*.scheduler.schedule.*"])
    seen(gaps, event(1), *(event(1, str(number)) for number in range(10_000)))
    assert seen(gaps, event(9), event(9, "9999")) == [False, True]


@pytest.mark.parametrize("service", [one for one in TOPOLOGY.services if one.reads], ids=lambda one: one.name)
def test_only_what_is_read_can_be_whole(service: object) -> None:
    """What is declared whole is a filter of the same service, with every verb."""
    declared = {one.name: one for one in TOPOLOGY.services}[service.name]  # type: ignore[attr-defined]
    assert set(declared.whole) <= set(declared.reads)
    assert all(matches(pattern, pattern.replace("*", "x").replace(">", "x")) for pattern in declared.whole)
    assert all(pattern.endswith((".*", ".>")) for pattern in declared.whole)


async def test_the_reader_raises_the_alarm(
    database: Database,
    bus: object,
    databases: dict[str, str],
    nats_server: Nats,
) -> None:
    """An event that is missing in the stream shows in a figure; what came is handled all the same."""
    handler = Handler()
    subscriptions = {"evt.*.scheduler.schedule.updated": handler}
    lock = databases["catalog_relay"]
    reader = Reader(database, bus, service=SERVICE, lock_url=lock, subscriptions=subscriptions)  # type: ignore[arg-type]
    figure = READER_GAPS.labels(SERVICE)
    before = figure._value.get()
    subject, body = said(uuid4(), "first")
    later = {**orjson.loads(body), "sequence": 3, "id": str(uuid4())}
    async with running(reader), nats_server.connect("scheduler") as scheduler:
        stream = scheduler.jetstream(prefix="BUS")
        await stream.publish(subject, body)
        await stream.publish(subject, orjson.dumps(later))
        await until(lambda: len(handler.handled) == 2)
        await asyncio.sleep(0)
    assert figure._value.get() == before + 1
