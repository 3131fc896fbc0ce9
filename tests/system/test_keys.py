"""The key rings of three services turn while the system is in use, and one of them dies in the middle (S8)."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import httpx
import pytest

from examples.broker_week.job import connector
from libs.common.crypto.keyring import KeyRing, WrappedKey
from libs.common.ids import SYSTEM_TENANT
from tests.system.test_trouble import TABLE, over_database
from tests.system.world import Tenant, World, connected

pytestmark = pytest.mark.chaos

KEEPING = ("auth", "catalog", "audit")
MANY = 5000
WRAPPED = (
    "SELECT tenant_id, key_id, wrapped FROM auth.data_key",
    "SELECT tenant_id, key_id, wrapped FROM catalog.data_key",
    "SELECT tenant_id, wrapping_key_id AS key_id, wrapped_key AS wrapped FROM audit.signing_key",
)
PROGRESS = "SELECT count(*) FILTER (WHERE key_id = $1), count(*) FILTER (WHERE key_id <> $1) FROM catalog.data_key"


def ring_of(world: World, service: str) -> KeyRing:
    path = world.stack.secrets / f"{service}.keyring.json"
    return KeyRing.parse(path.read_text(encoding="utf-8"))


@asynccontextmanager
async def many_tenants(world: World) -> AsyncIterator[list[UUID]]:
    """Give catalog so many data keys that a rotation takes a while."""
    ring, made = ring_of(world, "catalog"), [uuid4() for _ in range(MANY)]
    keys = [ring.new_data_key(tenant) for tenant in made]
    async with connected(world.stack.postgres.url(database="regent")) as connection:
        await connection.execute(
            "INSERT INTO catalog.data_key (tenant_id, key_id, wrapped, created_at) "
            "SELECT id, $1, wrapped, now() FROM unnest($2::uuid[], $3::bytea[]) AS given (id, wrapped)",
            *(ring.active, made, [key.wrapped for key in keys]),
        )
        yield made
        await connection.execute("DELETE FROM catalog.data_key WHERE tenant_id = ANY ($1)", made)


async def kill(world: World, *names: str) -> None:
    """Kill processes and wait until the launcher has them serving again."""
    children = [world.stack.children[name] for name in names]
    before = [child.restarts for child in children]
    for child in children:
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
    async with asyncio.timeout(90):
        for child, count in zip(children, before, strict=True):
            while child.restarts == count or not await child.program.ready():  # noqa: ASYNC110 - it happens elsewhere
                await asyncio.sleep(0.1)


async def kill_in_the_middle(world: World, key_id: str) -> tuple[int, int]:
    """Kill catalog as soon as some of its rows, but not all, are under the new key; returns how many were where."""
    async with connected(world.stack.postgres.url(database="regent")) as connection, asyncio.timeout(30):
        while True:
            moved, left = await connection.fetchrow(PROGRESS, key_id)
            if moved:
                await kill(world, "catalog")
                return moved, left
            await asyncio.sleep(0.002)


async def keep_using(world: World, tenant: Tenant, busy: UUID, seen: dict[str, Counter[int]]) -> None:
    """Log in, read the trail and store secrets, again and again."""
    body = {"email": tenant.owner[0], "password": tenant.owner[1]}
    async with httpx.AsyncClient(base_url=world.url, timeout=30, trust_env=False) as http:
        while True:
            answer = await http.post("/v1/login", json=body)
            seen["auth"][answer.status_code] += 1
            if answer.is_success:
                http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            answer = await http.get("/v1/audit/entries", params={"limit": 1})
            seen["audit"][answer.status_code] += 1
            answer = await http.put(f"/v1/connectors/{busy}/secret", json={"secret": {"password": uuid4().hex}})
            seen["catalog"][answer.status_code] += 1
            await asyncio.sleep(0.05)


async def unreadable(world: World) -> list[tuple[str, UUID]]:
    """Return every row that its service's ring, as it lies on disk, does not open."""
    found = []
    async with connected(world.stack.postgres.url(database="regent")) as connection:
        for service, query in zip(KEEPING, WRAPPED, strict=True):
            ring = ring_of(world, service)
            for row in await connection.fetch(query):
                try:
                    ring.rewrap(row["tenant_id"], WrappedKey(row["key_id"], row["wrapped"]))
                except Exception:
                    found.append((service, row["tenant_id"]))
    return found


async def rows_by_key(world: World) -> dict[tuple[str, str], int]:
    return {(row["service"], row["key"]): row["rows"] for row in await world.command("keys", "status")}


async def told(world: World) -> Counter[tuple[str, str]]:
    """Return what the trail has of key rings: event and key id."""
    async with connected(world.stack.postgres.url(database="regent")) as connection:
        rows = await connection.fetch("SELECT body FROM audit.entry WHERE tenant_id = $1", SYSTEM_TENANT)
    events = [json.loads(row["body"]) for row in rows]
    turned = [event for event in events if ".keyring." in event["type"] and "key_id" in event["data"]]
    return Counter((event["type"], event["data"]["key_id"]) for event in turned)


async def test_rings_turn_while_in_use(world: World, tenant: Tenant) -> None:
    """A key is added, made active, catalog is killed half way, the old key goes, everything restarts: no row is lost."""
    source = await world.database(TABLE)
    filing = await over_database(tenant, source)
    busy = await connector(tenant.api, "busy", source.connector(), {"password": "x"})
    (old,) = {ring_of(world, service).active for service in KEEPING}
    with pytest.raises(RuntimeError, match=f"Key {old} is the active key"):
        await world.command("keys", "retire", old)
    async with many_tenants(world):
        seen: dict[str, Counter[int]] = {service: Counter() for service in KEEPING}
        using = asyncio.create_task(keep_using(world, tenant, busy, seen))
        new = (await world.command("keys", "generate"))[0]["key"]
        killing = asyncio.create_task(kill_in_the_middle(world, new))
        await world.command("keys", "rotate", "--to", new)
        moved, left = await killing
        using.cancel()
        assert 0 < moved < MANY <= moved + left
        assert set(seen["auth"]) == {200}
        assert set(seen["audit"]) == {200}
        assert set(seen["catalog"]) <= {204, 502, 503}
        assert seen["catalog"][204] > 5
        await world.command("keys", "retire", old)
        await kill(world, *KEEPING)
        assert all(ring_of(world, service).ids() == {new} for service in KEEPING)
        assert await unreadable(world) == []
        counted = await rows_by_key(world)
        assert {key for _, key in counted} == {new}
        assert counted["catalog", new] > MANY
    assert (await world.command("keys", "check"))["key rings"] == "sound"
    assert (await filing.run())["status"] == "succeeded"
    assert (await tenant.api.post("/v1/audit/verify"))["good"]


async def test_the_trail_tells_of_it(world: World) -> None:
    """Every step of the rotation before is an entry of the system tenant's trail (S8)."""
    active = ring_of(world, "catalog").active
    wanted = {f"{service}.keyring.{verb}.v1" for service in KEEPING for verb in ("activated", "rewrapped")}
    events = await told(world)
    async with asyncio.timeout(30):
        while not wanted <= {kind for kind, key in events if key == active}:
            await asyncio.sleep(0.2)
            events = await told(world)
    assert events["catalog.keyring.rewrapped.v1", active] >= MANY / 200
    assert all(events[f"{service}.keyring.extended.v1", active] == 1 for service in KEEPING)
    assert all(events[f"{service}.keyring.retired.v1", "k1"] == 1 for service in KEEPING)
