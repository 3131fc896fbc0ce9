"""A revocation reaches every process within a second (S11)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from deploy.local import nats
from libs.common.bus.connection import connect
from libs.common.context import Context, utc_now
from libs.common.database.pool import Database
from libs.common.identity.state import IdentityState, keep_fresh
from libs.common.ids import SYSTEM_TENANT
from services.auth import operator
from tests.auth.world import PASSWORD, Tenant, World
from tests.pace import within


@asynccontextmanager
async def process(server: nats.Nats, name: str) -> AsyncIterator[IdentityState]:
    """Yield what another service's process knows, kept fresh as there."""
    async with connect(server.url, service=name, seed_file=server.seeds[name]) as bus:
        state = IdentityState()
        task = asyncio.create_task(keep_fresh(state, bus))
        await until(lambda: state.primed)
        yield state
        task.cancel()


async def until(condition: Callable[[], bool], seconds: float = 60) -> float:
    """Wait for a condition; returns the seconds that it took."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition has no event
            await asyncio.sleep(0.01)
    return time.monotonic() - began


async def test_a_revoked_grant_is_known_everywhere(tenant: Tenant, nats_server: nats.Nats) -> None:
    """Two other processes know it a second after the answer at the latest (S11)."""
    async with process(nats_server, "runner") as one, process(nats_server, "catalog") as two:

        async def revoked() -> float:
            async with tenant.caller() as owner:
                grant = UUID((await owner.get("/v1/me")).json()["grant_id"])
                assert (await owner.post(f"/v1/grants/{grant}/revoke")).status_code == 204
                return await until(lambda: grant in one.revoked and grant in two.revoked)

        await within(1.0, revoked)


async def test_a_suspended_tenant_is_known_everywhere_and_so_is_its_return(
    tenant: Tenant, world: World, nats_server: nats.Nats
) -> None:
    """Suspending stops the tenant's tokens at once; resuming lets it log in again."""
    id_, secret = await operator.create_client(
        world.runtime.database, utc_now(), SYSTEM_TENANT, "operator", ["platform_operator"]
    )
    token = (await world.token_for(id_, secret)).json()["access_token"]
    async with world.client() as http, process(nats_server, "audit") as other:
        http.headers["Authorization"] = f"Bearer {token}"

        async def there_and_back() -> float:
            assert (await http.post(f"/v1/tenants/{tenant.id}/suspend")).status_code == 200
            there = await until(lambda: tenant.id in other.suspended)
            refused = await http.post("/v1/login", json={"email": tenant.email, "password": PASSWORD})
            assert refused.status_code == 401
            assert (await http.post(f"/v1/tenants/{tenant.id}/resume")).status_code == 200
            return max(there, await until(lambda: tenant.id not in other.suspended))

        await within(1.0, there_and_back)
    assert (await tenant.login())["tenant_id"] == str(tenant.id)


async def test_what_another_process_commits_is_known_everywhere_too(
    tenant: Tenant, nats_server: nats.Nats, databases: dict[str, str]
) -> None:
    """Nobody wakes the publisher for what the command line commits; a second is enough nevertheless (S11)."""
    url = databases["auth_server"]
    async with process(nats_server, "audit") as other, Database.open(url, service="auth", role="cli") as database:

        async def there_and_back() -> float:
            await operator.set_tenant_status(database, utc_now(), tenant.id, suspended=True)
            there = await until(lambda: tenant.id in other.suspended)
            await operator.set_tenant_status(database, utc_now(), tenant.id, suspended=False)
            return max(there, await until(lambda: tenant.id not in other.suspended))

        await within(1.0, there_and_back)


async def test_a_revocation_is_forgotten_when_its_tokens_are_dead(
    tenant: Tenant, world: World, nats_server: nats.Nats
) -> None:
    """The bucket does not grow for ever."""
    async with tenant.caller() as owner, process(nats_server, "runner") as other:
        grant = UUID((await owner.get("/v1/me")).json()["grant_id"])
        await owner.post("/v1/logout")
        await until(lambda: grant in other.revoked)
        async with world.runtime.database.transaction(Context(tenant.id, "service:test")) as tx:
            await tx.connection.execute("UPDATE revocation SET until = now() WHERE grant_id = $1", grant)
        await until(lambda: grant not in other.revoked)
