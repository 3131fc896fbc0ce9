"""Deliberate leaks, one by one: each is planted in a copy and named by the checks that run on every build (S37)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from deploy.local.nats import Nats
from deploy.local.postgres import Postgres
from libs.common.database.guard import isolation_faults
from libs.common.database.pool import Database
from tests.architecture import catalogue, faults, walk
from tests.architecture.test_isolation_shape import OTHER_INDEXES, OTHER_REFERENCES
from tests.architecture.walk import A, B
from tests.tenancy.conftest import Scratch
from tests.tenancy.door import LIST, READ, Door, opened
from tests.tenancy.strangers import SERIES

Check = Callable[[Any], Awaitable[Any]]


async def started(admin: Any, role: str = "runner_server") -> list[str]:
    """Return what a service's start complains of, under the role that it logs in as."""
    service = role.partition("_")[0]
    await admin.execute(f'SET LOCAL ROLE "{role}"')
    found = await isolation_faults(admin, service, catalogue.exceptions(service))
    await admin.execute("RESET ROLE")
    return found


async def started_auth(admin: Any) -> list[str]:
    """Return what auth's start complains of."""
    return await started(admin, "auth_server")


async def started_as_owner(admin: Any) -> list[str]:
    """Return what a service complains of that was given its owner's role."""
    return await started(admin, "runner_owner")


@cache
def walked(service: str) -> Check:
    """Return the check that asks with raw SQL, as each role of a service, under B for what is A's."""

    async def check(admin: Any) -> list[str]:
        await walk.fill(admin, service)
        asked = (walk.seen, walk.changed, walk.given)
        unset = [*await walk.without_tenant(admin, service, None)]
        return [fault for ask in asked for fault in await ask(admin, service)] + unset

    return check


async def indexes(admin: Any) -> set[str]:
    """Return keys and indexes that do not lead with the tenant and that nobody explains."""
    return await faults.foreign_indexes(admin) - set(OTHER_INDEXES)


async def references(admin: Any) -> set[str]:
    """Return foreign keys that do not hold the tenant and that nobody explains."""
    return await faults.foreign_references(admin) - set(OTHER_REFERENCES)


_OBJECT = f"""
SET LOCAL session_replication_role = replica;
INSERT INTO runner.artifact (tenant_id, id, run_id, name, format, object_key, sha256, size, records, created_at)
VALUES ('{B}', '{B}', '{B}', 'report.csv', 'csv', '{A}/runs/x/report.csv', '', 1, 1, now());
"""
_REFERENCE = "ALTER TABLE runner.run ADD UNIQUE (id); ALTER TABLE runner.artifact ADD CONSTRAINT loose FOREIGN KEY (run_id) REFERENCES runner.run (id)"
_DEFINER = "CREATE FUNCTION runner.every() RETURNS SETOF runner.run LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM runner.run'"

# name of the leak → what plants it, and each check that must name it with the words that it says
LEAKS: dict[str, tuple[str, dict[Check, str]]] = {
    "a policy dropped": (
        "DROP POLICY tenant ON runner.artifact",
        {started: "table artifact has no enabled", faults.unguarded_tables: "runner.artifact"},
    ),
    "a policy that lets everybody in": (
        "ALTER POLICY tenant ON runner.run USING (true) WITH CHECK (true)",
        {
            started: "policy tenant on table run",
            faults.loose_policies: "runner.run tenant",
            walked("runner"): "runner_server sees more than its row of runner.run",
        },
    ),
    "a policy that checks nothing that is written": (
        "ALTER POLICY tenant ON scheduler.firing WITH CHECK (true)",
        {
            faults.loose_policies: "scheduler.firing tenant",
            walked("scheduler"): "scheduler_server inserts for others into scheduler.firing",
        },
    ),
    "a look-up before the tenant is known that lists": (
        "ALTER POLICY own ON auth.membership USING (true)",
        {
            started_auth: "policy own on table membership finds by nothing that was presented",
            walked("auth"): "auth_server sees more than its row of auth.membership",
        },
    ),
    "row-level security disabled": (
        "ALTER TABLE runner.ledger DISABLE ROW LEVEL SECURITY",
        {
            started: "table ledger has no enabled",
            faults.unguarded_tables: "runner.ledger",
            walked("runner"): "runner_server sees more than its row of runner.ledger",
        },
    ),
    "row-level security not forced": (
        "ALTER TABLE runner.ledger NO FORCE ROW LEVEL SECURITY",
        {started: "table ledger has no enabled and forced", faults.unguarded_tables: "runner.ledger"},
    ),
    "the owner's role used": ("SELECT", {started_as_owner: "this role owns table runner.run"}),
    "a role that bypasses": (
        "ALTER ROLE runner_server BYPASSRLS",
        {
            started: "this role bypasses row-level security",
            faults.strong_roles: "runner_server",
            walked("runner"): "runner_server sees more than its row",
        },
    ),
    "a worker's role that bypasses": (
        "ALTER ROLE runner_reaper BYPASSRLS",
        {started: "role runner_reaper bypasses", faults.strong_roles: "runner_reaper"},
    ),
    "a view with its owner's rights": (
        "CREATE VIEW runner.runs AS SELECT * FROM runner.run; GRANT SELECT ON runner.runs TO runner_server",
        {started: "view runs runs with its owner's rights", faults.open_objects: "view: runner.runs"},
    ),
    "a function with its owner's rights": (
        _DEFINER,
        {started: "function every runs with its owner's rights", faults.open_objects: "definer: runner.every"},
    ),
    "a reference without the tenant": (
        _REFERENCE,
        {references: "runner.artifact.loose", started: "reference loose of table artifact"},
    ),
    "a key without the tenant": (
        "CREATE UNIQUE INDEX told ON scheduler.schedule (name)",
        {indexes: "scheduler.told"},
    ),
    "another schema opened": (
        "GRANT USAGE ON SCHEMA catalog TO runner_server; GRANT SELECT ON catalog.secret TO runner_server",
        {started: "USAGE on the foreign schema catalog", faults.reaching_roles: "runner_server in catalog"},
    ),
    "a table for everybody": (
        "GRANT SELECT ON runner.run TO PUBLIC",
        {faults.open_objects: "to everybody: runner.run"},
    ),
    "a truncate": (
        "GRANT TRUNCATE ON runner.run TO runner_server",
        {started: "may truncate", faults.truncating_roles: "runner_server: TRUNCATE run"},
    ),
    "another tenant's artifact": (
        _OBJECT,
        {faults.foreign_objects: f"runner.artifact.object_key of {B} refers to {A}"},
    ),
}
PLANTED = [
    pytest.param(plant, check, words, id=f"{name}: {getattr(check, '__name__', 'check')}")
    for name, (plant, checks) in LEAKS.items()
    for check, words in checks.items()
]


_SOUND: dict[Check, Any] = {}


async def without_leak(admin: Any, check: Check) -> Any:
    """Return what a check says of the sound database, which is asked once: nothing that is planted stays."""
    if check not in _SOUND:
        trial = admin.transaction()
        await trial.start()
        _SOUND[check] = await check(admin)
        await trial.rollback()
    return _SOUND[check]


@pytest.mark.parametrize(("plant", "check", "words"), PLANTED)
async def test_a_leak_in_the_database_is_named(undone: Any, plant: str, check: Check, words: str) -> None:
    """The check is silent on a sound database, and names the leak once it is there (S37)."""
    if check is not started_as_owner:  # which no sound service is
        assert not [fault for fault in await without_leak(undone, check) if words in fault]
    await undone.execute(plant)
    assert [fault for fault in await check(undone) if words in fault]


@pytest.fixture
async def door(scratch: Scratch, nats_server: Nats, tmp_path: Path) -> AsyncIterator[Door]:
    """Yield the scheduler over a database of its own."""
    async with opened(scratch, nats_server, tmp_path) as made:
        yield made


async def test_without_a_leak_nothing_is_named(door: Door) -> None:
    """What is found below is what was planted."""
    async with door.stranger() as stranger:
        assert await stranger.in_a_list(LIST) == []
        assert await stranger.at_an_id(READ) == []
        assert await stranger.in_time(READ) == []


async def test_a_list_that_forgot_its_tenant_is_named(door: Door, postgres_server: Postgres) -> None:
    """Leak: the door's connections are an administrator's, so a list holds what all tenants have (S37)."""
    name = await door.scratch.admin.fetchval("SELECT current_database()")
    async with Database.open(postgres_server.url(database=name), service="scheduler", size=2) as everybodys:
        door.app.state.database = everybodys
        async with door.stranger() as stranger:
            assert any(f"shows {door.schedule}" in fault for fault in await stranger.in_a_list(LIST))
            assert any("answers 200 at others' ids" in fault for fault in await stranger.at_an_id(READ))


async def test_a_policy_loosened_under_a_running_service_is_named(door: Door) -> None:
    """Leak: the policy goes after the start was allowed; the walk over the routes finds it (S37)."""
    await door.scratch.admin.execute("ALTER POLICY tenant ON scheduler.schedule USING (true)")
    async with door.stranger() as stranger:
        assert any(f"shows {door.schedule}" in fault for fault in await stranger.in_a_list(LIST))


async def test_a_page_kept_for_everybody_is_named(door: Door) -> None:
    """Leak: something in front keeps answers by their path alone (S37)."""
    kept: dict[bytes, list[Any]] = {}

    async def cache(scope: Any, receive: Any, send: Any) -> None:
        async def keep(message: Any) -> None:
            kept.setdefault(place, []).append(message)
            await send(message)

        place = scope["raw_path"] + scope["query_string"]
        for message in kept.get(place, ()):
            await send(dict(message))
        if place not in kept:
            await door.app(scope, receive, keep)

    async with door.stranger(cache) as stranger:
        owner = await stranger.http.get(LIST.path, headers=door.bearer(A))
        assert [item["id"] for item in owner.json()["items"]] == [door.schedule]
        assert any(f"shows {door.schedule}" in fault for fault in await stranger.in_a_list(LIST))


def asked_before(door: Door, answer: Callable[[], Awaitable[int | None]]) -> Any:
    """Return an app that, where anybody has the schedule that is asked for, does something else first."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        id_ = scope["path"].rsplit("/", 1)[-1]
        if id_ == door.schedule and (status := await answer()):
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})
            return
        await door.app(scope, receive, send)

    return app


async def test_a_refusal_that_tells_is_named(door: Door) -> None:
    """Leak: 403 at what somebody else has, 404 at what nobody has (S37)."""

    async def forbidden() -> int | None:
        return 403

    async with door.stranger(asked_before(door, forbidden)) as stranger:
        assert any("tells what exists" in fault for fault in await stranger.at_an_id(READ))


async def test_a_delay_that_tells_is_named(door: Door) -> None:
    """Leak: what exists is looked at before it is refused, which takes time (S37)."""

    async def slow() -> int | None:
        await asyncio.sleep(0.02)
        return None

    async with door.stranger(asked_before(door, slow)) as stranger:
        assert any("by its time" in fault for fault in await stranger.in_time(READ, SERIES[:2]))
