"""A tenant's data keys turn while auth, which seals anew, is killed in the middle (S8)."""

import asyncio
from uuid import UUID, uuid4

import pytest

from libs.common.crypto.keyring import Place, WrappedKey
from libs.common.crypto.vault import opened
from libs.common.ids import SYSTEM_TENANT
from tests.system.test_keys import kill, ring_of
from tests.system.test_trouble import TABLE, over_database
from tests.system.world import Tenant, World, connected

pytestmark = pytest.mark.chaos

MANY = 2000
ADD_KEY = "INSERT INTO auth.data_key (tenant_id, key_id, wrapped, created_at) VALUES ($1, $2, $3, now())"
ADD_MAILS = """
INSERT INTO auth.mail (tenant_id, id, template, sealed, state, attempts, due_at, created_at, settled_at)
SELECT $1, id, 'welcome', sealed, 'void', 0, now(), now(), now() FROM unnest($2::uuid[], $3::bytea[]) AS given (id, sealed)
"""
PROGRESS = """
SELECT count(*) FILTER (WHERE substring(sealed FROM 1 FOR 8) = $2), count(*) FROM auth.mail WHERE tenant_id = $1
"""
KEYS = "SELECT key_id, wrapped, version FROM auth.data_key WHERE tenant_id = $1 ORDER BY version DESC"
SECOND = WrappedKey("", b"", 2).header


async def mails(world: World, tenant: UUID) -> dict[UUID, bytes]:
    """Give a tenant so many sealed mails that turning its key takes a while; they were sealed before there were versions."""
    ring, texts = ring_of(world, "auth"), {uuid4(): uuid4().bytes for _ in range(MANY)}
    key = ring.new_data_key(tenant)
    sealed = [ring.seal(key, Place(tenant, "mail", "sealed", str(id_)), text) for id_, text in texts.items()]
    async with connected(world.stack.postgres.url(database="regent")) as admin:
        await admin.execute(ADD_KEY, tenant, key.key_id, key.wrapped)
        await admin.execute(ADD_MAILS, tenant, list(texts), sealed)
    return texts


async def kill_in_the_middle(world: World, tenant: UUID) -> int:
    """Kill auth as soon as some mails, but not all, are sealed anew; returns how many were."""
    async with connected(world.stack.postgres.url(database="regent")) as admin, asyncio.timeout(60):
        while True:
            done, _ = await admin.fetchrow(PROGRESS, tenant, SECOND)
            if done:
                await kill(world, "auth")
                return int(done)
            await asyncio.sleep(0.002)


async def read(world: World, tenant: UUID) -> dict[UUID, bytes]:
    """Open every mail with what lies on disk and in the database now."""
    ring = ring_of(world, "auth")
    async with connected(world.stack.postgres.url(database="regent")) as admin:
        keys = [WrappedKey(*row) for row in await admin.fetch(KEYS, tenant)]
        rows = await admin.fetch("SELECT id, sealed FROM auth.mail WHERE tenant_id = $1", tenant)
    assert [key.version for key in keys] == [2]
    return {
        row["id"]: opened(ring, keys, Place(tenant, "mail", "sealed", str(row["id"])), row["sealed"]) for row in rows
    }


async def test_a_data_key_turns_although_its_service_is_killed(world: World, tenant: Tenant) -> None:
    """Every secret is what it was, under the new version alone; catalog's connector works on with its own new key."""
    filing = await over_database(tenant, await world.database(TABLE))
    written = await mails(world, tenant.id)
    killing = asyncio.create_task(kill_in_the_middle(world, tenant.id))
    told = await world.command("keys", "rotate-dek", str(tenant.id))
    assert 0 < await killing < MANY
    assert {(each["service"], each["version"]) for each in told} == {("auth", 2), ("catalog", 2)}
    found = await read(world, tenant.id)
    assert {id_: found[id_] for id_ in written} == written
    assert (await filing.run())["status"] == "succeeded"


async def test_the_systems_own_keys_turn(world: World, tenant: Tenant) -> None:
    """Tokens are signed, factors checked and checkpoints made after the system tenant's data keys have turned (S8)."""
    told = {each["service"]: each for each in await world.command("keys", "rotate-dek", "system")}
    assert told["audit"]["signing_keys"] >= 1
    assert told["auth"]["version"] >= 2
    await world.command("keys", "replace-signing-key")
    await kill(world, "auth", "audit")
    tenant.api._expires = 0.0
    assert (await tenant.api.post("/v1/audit/verify"))["good"]
    async with connected(world.stack.postgres.url(database="regent")) as admin:
        keys = await admin.fetch("SELECT version FROM auth.data_key WHERE tenant_id = $1", SYSTEM_TENANT)
    assert len(keys) == 1
