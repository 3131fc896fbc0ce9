"""The reader of everything, on a real bus and a real database: nothing lost, doubled, out of order or passed over."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from deploy.local.nats import Nats
from libs.common.bus.connection import connect
from libs.common.bus.provision import provision
from libs.common.ids import SYSTEM_TENANT
from services.audit import commands, store
from services.audit.handlers import Ingest
from services.audit.verification import Finding
from tests.audit.world import OTHER, TENANT, Store, context, event_body

Message = tuple[str, bytes]


@asynccontextmanager
async def reading(audit: Store, bus: Nats) -> AsyncIterator[Ingest]:
    """Run the reader for a while."""
    async with (
        audit.role("writer") as writer,
        connect(bus.url, service="audit", seed_file=bus.seeds["audit"]) as connected,
    ):
        ingest = Ingest(writer, connected, lock_url=audit.urls["audit_relay"])
        task = asyncio.create_task(ingest.run())
        try:
            yield ingest
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 60) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := await condition()):  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.05)
        return found


async def reaches(audit: Store, expected: int) -> None:
    async with audit.role("writer") as writer:

        async def position() -> int:
            async with writer.transaction(context()) as tx:
                return await store.position(tx)

        async def there() -> bool:
            return await position() >= expected

        await until(there)
        assert await position() == expected


async def rows(audit: Store, tenant: UUID = TENANT) -> list[Any]:
    async with audit.role("server") as server, server.transaction(context(tenant)) as tx:
        return list(await tx.connection.fetch("SELECT * FROM entry ORDER BY seq"))


def event(tenant: UUID = TENANT, name: str = "catalog.report.published", **changes: Any) -> Message:
    return f"evt.{tenant}.{name}", event_body(tenant, name, **changes)


async def publish(bus: Nats, *messages: Message, user: str = "catalog") -> None:
    """Publish in atomic batches, as a relay does."""
    async with bus.connect(user) as client:
        jetstream = client.jetstream(prefix="BUS", timeout=20)
        for start in range(0, len(messages), 200):
            batch, chunk = os.urandom(8).hex(), messages[start : start + 200]
            for number, (subject, body) in enumerate(chunk, 1):
                headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
                if number < len(chunk):
                    await client.publish(subject, body, headers=headers)
                else:
                    await jetstream.publish(subject, body, headers={**headers, "Nats-Batch-Commit": "1"}, timeout=20)


async def ask(bus: Nats, verb: str, **body: Any) -> Any:
    async with bus.connect("provisioner") as client:
        answer = await client.request(f"$JS.API.{verb}", orjson.dumps(body), timeout=10)
        return orjson.loads(answer.data)


async def purge(bus: Nats, up_to: int) -> None:
    """Remove the stream's first messages behind everybody's back."""
    answer = await ask(bus, "STREAM.PURGE.EVT", seq=up_to + 1)
    assert answer.get("success"), answer


async def announce_purge(bus: Nats, first: int, last: int, stream: str = "EVT") -> None:
    body = event_body(SYSTEM_TENANT, "system.stream.purged", data={"stream": stream, "first": first, "last": last})
    async with bus.connect("provisioner") as client:
        await client.request(f"evt.{SYSTEM_TENANT}.system.stream.purged", body, timeout=10)


async def test_exact_bytes_in_order(audit: Store, bus: Nats) -> None:
    """Every message is stored, byte for byte, in stream order, under its tenant (S28, S39)."""
    messages = [event(TENANT if number % 3 else OTHER, sequence=number + 1) for number in range(60)]
    await publish(bus, *messages)
    async with reading(audit, bus):
        await reaches(audit, 60)
    for tenant in (TENANT, OTHER):
        expected = [body for subject, body in messages if f".{tenant}." in subject]
        assert [bytes(row["body"]) for row in await rows(audit, tenant)] == expected


async def test_whatever_comes(audit: Store, bus: Nats) -> None:
    """Messages that are no events are stored and flagged, those without a tenant under the system tenant."""
    await publish(
        bus,
        (f"evt.{TENANT}.catalog.report.published", b"\x00no json"),
        ("evt.*.catalog.report.published", event()[1]),
        (f"evt.{TENANT}.catalog.report.archived", event()[1]),
        (f"evt.{TENANT}.catalog.report.published", event(OTHER)[1]),
    )
    async with reading(audit, bus):
        await reaches(audit, 4)
    assert all(row["fault"] for row in await rows(audit))
    assert len(await rows(audit)) == 3
    assert len(await rows(audit, SYSTEM_TENANT)) == 1


async def test_resumes(audit: Store, bus: Nats) -> None:
    """A reader that was stopped anywhere goes on where it was: nothing twice, nothing missing."""
    messages = [event(sequence=number + 1) for number in range(3000)]
    await publish(bus, *messages[:1500])
    for wait in (0.05, 0.15, 0.3):
        async with reading(audit, bus):
            await asyncio.sleep(wait)
    await publish(bus, *messages[1500:])
    async with reading(audit, bus):
        await reaches(audit, 3000)
    assert [bytes(row["body"]) for row in await rows(audit)] == [body for _, body in messages]


async def test_two_readers(audit: Store, bus: Nats) -> None:
    """Of two readers one reads; when it stops the other goes on."""
    await publish(bus, *(event() for _ in range(10)))
    async with reading(audit, bus):
        await reaches(audit, 10)
        async with reading(audit, bus):
            await publish(bus, *(event() for _ in range(10)))
            await reaches(audit, 20)
    async with reading(audit, bus):
        await publish(bus, event())
        await reaches(audit, 21)
    assert len(await rows(audit)) == 21


async def test_published_again(audit: Store, bus: Nats) -> None:
    """Events that a relay publishes again after the dedupe window are entries once (S39)."""
    messages = [event() for _ in range(5)]
    await publish(bus, *messages)
    await publish(bus, *messages, event())
    async with reading(audit, bus):
        await reaches(audit, 11)
    assert len(await rows(audit)) == 6


async def halts(ingest: Ingest) -> str:
    async def halted() -> str | None:
        return ingest.halted

    return str(await until(halted))


async def test_a_hole_halts(audit: Store, bus: Nats) -> None:
    """Messages that vanished unread halt the reader, which names them; nothing behind the hole is stored (S39)."""
    await publish(bus, *(event() for _ in range(8)))
    await purge(bus, 5)
    async with reading(audit, bus) as ingest:
        assert "from 1 to 5" in await halts(ingest)
    assert await rows(audit) == []


async def test_a_named_purge_is_passed(audit: Store, bus: Nats) -> None:
    """A hole that a later `system.stream.purged` event names exactly is passed over."""
    await publish(bus, *(event() for _ in range(8)))
    await purge(bus, 5)
    await announce_purge(bus, 1, 5)
    async with reading(audit, bus):
        await reaches(audit, 9)
    assert len(await rows(audit)) == 3
    assert [row["type"] for row in await rows(audit, SYSTEM_TENANT)] == ["system.stream.purged.v1"]


async def test_a_wrong_purge_does_not_help(audit: Store, bus: Nats) -> None:
    """A purge event for fewer messages, or another stream, does not explain a hole."""
    await publish(bus, *(event() for _ in range(8)))
    await purge(bus, 5)
    await announce_purge(bus, 1, 4)
    await announce_purge(bus, 1, 5, stream="WORK")
    async with reading(audit, bus) as ingest:
        assert "from 5 to 5" in await halts(ingest)


async def test_only_the_system_names_purges(audit: Store, bus: Nats) -> None:
    """A tenant's event, or a service's, that claims a purge explains nothing."""
    await publish(bus, *(event() for _ in range(3)))
    await purge(bus, 2)
    body = event_body(TENANT, "system.stream.purged", data={"stream": "EVT", "first": 1, "last": 2})
    async with bus.connect("provisioner") as client:
        await client.request(f"evt.{TENANT}.system.stream.purged", body, timeout=10)
    data = {"stream": "EVT", "first": 1, "last": 2}
    await publish(bus, event(SYSTEM_TENANT, "catalog.stream.purged", data=data))
    async with reading(audit, bus) as ingest:
        assert "from 1 to 2" in await halts(ingest)


async def replace_stream(bus: Nats, *messages: Message) -> None:
    await ask(bus, "STREAM.DELETE.EVT")
    async with bus.connect("provisioner") as client:
        await provision(client, bus.topology)
    await publish(bus, *messages)


async def test_a_stream_behind_halts(audit: Store, bus: Nats) -> None:
    """A stream that ends before our position lost data: the reader halts and says so (S39)."""
    await publish(bus, *(event() for _ in range(8)))
    async with reading(audit, bus):
        await reaches(audit, 8)
    await replace_stream(bus, event(), event())
    async with reading(audit, bus) as ingest:
        assert "ends at 2" in await halts(ingest)
    assert len(await rows(audit)) == 8


async def test_a_regrown_stream_halts(audit: Store, bus: Nats) -> None:
    """A stream that lost data and grew past our position since is not taken for the one that was read."""
    await publish(bus, *(event() for _ in range(8)))
    async with reading(audit, bus):
        await reaches(audit, 8)
    await replace_stream(bus, *(event() for _ in range(20)))
    async with reading(audit, bus) as ingest:
        assert "not the one that we read" in await halts(ingest)
    assert len(await rows(audit)) == 8


async def test_expired_messages_do_not_halt(audit: Store, bus: Nats) -> None:
    """Messages that were read and then expired leave no hole."""
    await publish(bus, *(event() for _ in range(8)))
    async with reading(audit, bus):
        await reaches(audit, 8)
    await purge(bus, 8)
    async with reading(audit, bus) as ingest:
        await publish(bus, event())
        await reaches(audit, 9)
        assert ingest.halted is None


@pytest.mark.parametrize("count", [5_000, pytest.param(20_000, marks=pytest.mark.long)])
async def test_many_thousand(
    audit: Store, bus: Nats, record_testsuite_property: Callable[[str, object], None], count: int
) -> None:
    """Thousands of events of ten tenants drain with none lost, in order per entity, and every tree verifies (S39)."""
    tenants, entities = [uuid4() for _ in range(10)], [str(uuid4()) for _ in range(40)]
    sequences = dict.fromkeys(entities, 0)
    messages = []
    for number in range(count):
        entity = entities[number % 40]
        sequences[entity] += 1
        messages.append(event(tenants[number % 10], subject=entity, sequence=sequences[entity]))
    await publish(bus, *messages)
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with reading(audit, bus):
        await reaches(audit, count)
    record_testsuite_property("audit_drained_per_second", round(count / (loop.time() - started)))
    for tenant in tenants:
        entries = await rows(audit, tenant)
        assert len(entries) == count // 10
        by_entity: dict[str, list[int]] = {}
        for row in entries:
            by_entity.setdefault(row["subject"], []).append(orjson.loads(row["body"])["sequence"])
        assert all(after - before == 1 for each in by_entity.values() for before, after in pairwise(each))
        async with audit.role("server") as server:
            verdict = await commands.verify(lambda tenant=tenant: server.transaction(context(tenant)), None)  # type: ignore[misc]
        assert (verdict.finding, verdict.size) == (Finding.CONSISTENT, count // 10)
