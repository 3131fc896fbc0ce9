"""From commit to audit row: latency at 300 events a second, and 20,000 events drained.

The events are committed by catalog's own transactions in this process, relayed by its own relay, and read by a real
audit service. `python -m bench.events`; exits with 1 when an event is lost, out of order, or the tree does not verify.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from bench.bars import Bars
from deploy.local.configuration import Configuration
from deploy.local.processes import free_port
from deploy.local.services import Surroundings
from deploy.local.stack import Stack
from libs.common.app import Runtime, running
from libs.common.context import Context
from libs.common.events.definitions import DefinitionArchived
from libs.common.events.envelope import parse
from services.audit.tree import Frontier, extend, leaf_hash
from services.catalog.main import service
from services.catalog.settings import Settings

_PER_SECOND = 300
_SECONDS = 10
_DRAINED = 20_000
_ENTITIES = 200
_SEEN = """
SELECT event_id, seq FROM audit.entry
WHERE tenant_id = $1 AND seq > $2 AND starts_with(type, 'catalog.') ORDER BY seq
"""


class Watcher:
    """Notes when audit rows become visible."""

    def __init__(self, connection: Any, tenant: UUID) -> None:
        self._connection = connection
        self._tenant = tenant
        self._last = -1
        self.seen: dict[UUID, float] = {}

    async def until(self, count: int, seconds: float) -> None:
        """Look every two milliseconds until `count` rows are there.

        Raises:
            TimeoutError: they do not come.
        """
        deadline = time.monotonic() + seconds
        while len(self.seen) < count:
            rows = await self._connection.fetch(_SEEN, self._tenant, self._last)
            now = time.perf_counter()
            for row in rows:
                self.seen[row["event_id"]] = now
                self._last = row["seq"]
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.seen)} of {count} events in the trail after {seconds:.0f} s")
            await asyncio.sleep(0.002)


async def emit(runtime: Runtime, tenant: UUID, entity: UUID) -> UUID:
    """Commit one event; returns its id."""
    async with runtime.database.transaction(Context(tenant, "service:bench")) as tx:
        return await tx.emit(
            "schema.archived", DefinitionArchived(kind="schema", id=entity, name="bench"), entity=entity
        )


async def paced(runtime: Runtime, watcher: Watcher, tenant: UUID) -> list[float]:
    """Commit 300 events a second; returns each one's seconds from commit to audit row."""
    committed: dict[UUID, float] = {}
    entities = [uuid4() for _ in range(_ENTITIES)]
    watching = asyncio.create_task(watcher.until(_PER_SECOND * _SECONDS, 60))
    started = time.perf_counter()
    for number in range(_PER_SECOND * _SECONDS):
        await asyncio.sleep(max(0.0, started + number / _PER_SECOND - time.perf_counter()))
        event_id = await emit(runtime, tenant, entities[number % _ENTITIES])
        committed[event_id] = time.perf_counter()
    await watching
    return sorted(watcher.seen[event_id] - moment for event_id, moment in committed.items())


async def drained(runtime: Runtime, watcher: Watcher, tenant: UUID) -> float:
    """Commit 20,000 events as fast as it goes; returns the seconds until the last one is in the trail."""
    entities = [uuid4() for _ in range(_ENTITIES)]
    started = time.perf_counter()
    watching = asyncio.create_task(watcher.until(_DRAINED, 300))

    async def worker(share: Sequence[UUID]) -> None:
        for number in range(_DRAINED // 8):
            await emit(runtime, tenant, share[number % len(share)])

    await asyncio.gather(*(worker(entities[offset::8]) for offset in range(8)))
    await watching
    return time.perf_counter() - started


async def judge(connection: Any, runtime: Runtime, bars: Bars) -> None:
    """Measure both, then look for losses and disorder."""
    tenant = uuid4()
    latencies = await paced(runtime, Watcher(connection, tenant), tenant)
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        bars.report(
            f"commit to audit row at {_PER_SECOND}/s, {name}", f"{latencies[int(len(latencies) * part)] * 1e3:.1f} ms"
        )
    other = uuid4()
    seconds = await drained(runtime, Watcher(connection, other), other)
    bars.report(f"{_DRAINED:,} events drained", f"{_DRAINED / seconds:,.0f} events/s")
    for judged in (tenant, other):
        bars.require("no event lost, doubled or out of order per entity", holds=await _in_order(connection, judged))
        bars.require("the tree verifies", holds=await _verifies(connection, judged))


async def _in_order(connection: Any, tenant: UUID) -> bool:
    """Say whether every entity's sequences are 1, 2, 3, ... in the trail's order, and every committed event is there.

    The checkpoints that audit signs meanwhile are entries too, of another publisher.
    """
    rows = await connection.fetch("SELECT body FROM audit.entry WHERE tenant_id = $1 ORDER BY seq", tenant)
    committed = await connection.fetchval("SELECT count(*) FROM catalog.outbox WHERE tenant_id = $1", tenant)
    sequences: dict[str, int] = {}
    events = [event for row in rows if (event := parse(bytes(row["body"]))).source == "catalog"]
    for event in events:
        if event.sequence != sequences.get(event.subject, 0) + 1:
            return False
        sequences[event.subject] = event.sequence
    return len(events) == int(committed)


async def _verifies(connection: Any, tenant: UUID) -> bool:
    """Grow a tree from the stored bytes and compare it with the one that the service kept."""
    rows = await connection.fetch("SELECT body FROM audit.entry WHERE tenant_id = $1 ORDER BY seq", tenant)
    head = await connection.fetchrow("SELECT size, frontier FROM audit.tree_head WHERE tenant_id = $1", tenant)
    grown = extend(Frontier(), (leaf_hash(bytes(row["body"])) for row in rows)).frontier
    return (grown.size, list(grown.nodes)) == (head["size"], [bytes(node) for node in head["frontier"]])


async def _run(data: Path) -> int:
    bars = Bars()
    configuration = Configuration(data=data, port=free_port())
    async with Stack(configuration, lambda _name, _line: None, without=("catalog",)) as stack:
        settings = Settings.load(_catalog_environment(stack))
        connection = await asyncpg.connect(stack.postgres.url(database="regent"))
        try:
            async with running(service(settings)) as runtime:
                await judge(connection, runtime, bars)
        finally:
            await connection.close()
    return bars.missed


def _catalog_environment(stack: Stack) -> dict[str, str]:
    given = Surroundings(stack.configuration, stack.postgres, stack.nats, stack.passwords(), stack.secrets)
    return given.environment("catalog", free_port())


def main() -> int:
    """Run."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="regent-bench-", ignore_cleanup_errors=True) as work:
        return 1 if asyncio.run(_run(Path(work) / "data")) else 0


if __name__ == "__main__":
    sys.exit(main())
