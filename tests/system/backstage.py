"""Behind the scenes: every change that a service committed, and what the audit trail has of it."""

import asyncio
import os
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from deploy.local.configuration import SERVICES
from tests.system.world import World, connected

_ENTRIES = "SELECT tenant_id, event_id, seq, body FROM audit.entry WHERE fault IS NULL ORDER BY tenant_id, seq"
_FAULTY = "SELECT count(*) FROM audit.entry WHERE fault IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Changes without an entry, entries of no change, entries that repeat, entities whose sequence has gaps."""

    missing: tuple[str, ...]
    invented: frozenset[UUID]
    repeated: frozenset[UUID]
    out_of_order: tuple[str, ...]
    faulty: int


async def settled(world: World, seconds: float = 60) -> Comparison:
    """Compare once every committed change has reached the trail, or after `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    found = await _compare(world)
    while found.missing and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.5)
        found = await _compare(world)
    return found


def assert_one_entry_for_every_change(found: Comparison) -> None:
    """Check that the trail has every change exactly once, in order for each entity, and nothing else."""
    assert found == Comparison((), frozenset(), frozenset(), (), 0)


async def _compare(world: World) -> Comparison:
    changes, entries, faulty = await _read(world)
    written = Counter(row["event_id"] for row in entries)
    return Comparison(
        missing=tuple(f"{subject} {event}" for event, subject in changes.items() if event not in written),
        invented=frozenset(set(written) - set(changes)),
        repeated=frozenset(event for event, count in written.items() if count > 1),
        out_of_order=tuple(_out_of_order(entries)),
        faulty=faulty,
    )


async def _read(world: World) -> tuple[dict[UUID, str], list[Any], int]:
    """Read all at one moment: each change with its subject, the trail, and how many entries are no events."""
    async with (
        connected(world.stack.postgres.url(database="regent")) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        changes: dict[UUID, str] = {}
        for service in SERVICES:
            rows = await connection.fetch(f"SELECT event_id, subject FROM {service}.outbox WHERE subject LIKE 'evt.%'")
            changes |= {row["event_id"]: row["subject"] for row in rows}
        return changes, await connection.fetch(_ENTRIES), await connection.fetchval(_FAULTY)


def _out_of_order(entries: Iterable[Any]) -> list[str]:
    """Return the entities whose events are not numbered 1, 2, 3 ... in the order of the trail."""
    numbers: dict[tuple[UUID, str, str], list[int]] = defaultdict(list)
    for row in entries:
        event = orjson.loads(row["body"])
        numbers[row["tenant_id"], event["source"], event["subject"]].append(event["sequence"])
    wrong = {entity: seen for entity, seen in numbers.items() if seen != list(range(1, len(seen) + 1))}
    return [f"{source} {subject} of {tenant}: {seen}" for (tenant, source, subject), seen in wrong.items()]


async def kill(world: World, name: str) -> None:
    """Kill a process and wait until the launcher has it serving again."""
    child = world.stack.children[name]
    assert child.pid is not None
    before = child.restarts
    os.kill(child.pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        while child.restarts == before or not await child.program.ready():  # noqa: ASYNC110 - it happens elsewhere
            await asyncio.sleep(0.1)
