"""Credentials on loan stay out of the sandbox: no child that runs a tenant's transforms or rules ever holds one (S25)."""

import asyncio
from collections import defaultdict
from typing import Any
from uuid import UUID

import pytest

from examples.broker_week.job import ENDED, start
from tests.system.memory import descendants, found_in
from tests.system.payments import AS_OF, DAY
from tests.system.test_trouble import over_database
from tests.system.world import Tenant, World

ROWS = 150_000
TABLE = (
    "CREATE TABLE payments (id text, amount numeric(12, 2), booked date);"
    f"INSERT INTO payments SELECT 'P' || n, 1.00, '2026-03-05' FROM generate_series(1, {ROWS}) n"
)
JAILS = {"validator": "jail"}
_LOADED = b"libs.common.jail"


def secrets_of(world: World, service: str) -> dict[str, bytes]:
    """Return what the service itself knows and its children must not."""
    stack = world.stack
    seed = stack.nats.seeds[service].read_text(encoding="utf-8").strip()
    passwords = {name: word for name, word in stack.passwords().items() if name.startswith(f"{service}_")}
    return {"bus": seed.encode()} | {name: word.encode() for name, word in passwords.items()}


async def jailed(world: World, service: str) -> list[int]:
    """Return the processes that parse and judge for a service: its children, or its jail and all below."""
    pid = world.stack.children[JAILS.get(service, service)].pid
    assert pid is not None
    below = await asyncio.to_thread(descendants, pid)
    return [pid, *below] if service in JAILS else below


async def test_no_child_of_the_data_path_holds_a_secret(world: World, tenant: Tenant) -> None:
    """While a run transforms, validates and renders, memory, environment and command line of every child are searched."""
    source = await world.database(TABLE)
    filing = await over_database(tenant, source)
    needles = {each: {"lease": source.password.encode(), **secrets_of(world, each)} for each in ("runner", "validator")}
    held: dict[str, set[str]] = defaultdict(set)
    for _ in range(5):  # a step may be over before a busy machine has looked at it
        run_id = await start(tenant.api, filing.report, DAY, AS_OF)
        run = await tenant.api.get(f"/v1/runs/{run_id}")
        while run["status"] not in ENDED:
            for service, pid in [(each, pid) for each in needles for pid in reversed(await jailed(world, each))]:
                run = await tenant.api.get(f"/v1/runs/{run_id}")
                held[run["step"]] |= await asyncio.to_thread(found_in, pid, needles[service])
        assert run["status"] == "succeeded", run["reason"]
        if {"transform", "validate"} & held.keys():
            break
    assert {"transform", "validate"} & held.keys(), held
    assert all(not found for step, found in held.items() if step not in ("", "extract")), held
    assert all(found <= {"lease"} for found in held.values()), held


@pytest.mark.parametrize("service", ["runner", "validator"])
async def test_the_search_finds_what_is_there(world: World, service: str) -> None:
    """The search above is worth something: it finds a secret in the service itself, and a known text in its children."""
    pid = world.stack.children[service].pid
    assert pid is not None
    assert "bus" in await asyncio.to_thread(found_in, pid, secrets_of(world, service))
    children = await jailed(world, service)
    assert children
    found = [await asyncio.to_thread(found_in, child, {"code": _LOADED}) for child in children]
    assert {"code"} in found


async def leased(tenant: Tenant) -> list[Any]:
    entries = await tenant.api.pages("/v1/audit/entries")
    return [entry for entry in entries if entry["type"] == "catalog.credential.leased.v1"]


async def test_a_lease_is_told(world: World, tenant: Tenant) -> None:
    """Each loan is an event with its purpose: the run, the step and the attempt (S25)."""
    source = await world.database("CREATE TABLE payments (id text, amount numeric(12, 2), booked date)")
    filing = await over_database(tenant, source)
    run_id = UUID((await filing.run())["id"])
    async with asyncio.timeout(30):
        while not (told := await leased(tenant)):  # noqa: ASYNC110 - it happens elsewhere
            await asyncio.sleep(0.2)
    shown = await tenant.api.get(f"/v1/audit/entries/{told[0]['seq']}")
    assert shown["event"]["data"]["purpose"] == f"run {run_id}, step extract, attempt 1"
    assert source.password not in str(shown)
