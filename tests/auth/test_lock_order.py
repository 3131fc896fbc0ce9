"""Rows are locked in one order: whoever changes a client and whoever revokes what it holds never wait for each other."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.common.context import Context, utc_now
from libs.common.database.transaction import Transaction
from libs.common.errors import Conflict
from libs.common.identity.principal import Principal
from services.auth.commands import clients, grants, lessening
from services.auth.permissions import PREDEFINED
from services.auth.store import grants as stored
from tests.auth.browsing import App, register
from tests.auth.world import Tenant

GRANTS = ["authorization_code", "refresh_token", "client_credentials"]
Revoking = Callable[[Transaction, Tenant, UUID], Awaitable[Any]]


async def _its_own(tx: Transaction, _: Tenant, client: UUID) -> None:
    await grants.revoke_one(tx, (await stored.find_client(tx, client))["grant_id"], "revoked")


async def _given(tx: Transaction, _: Tenant, client: UUID) -> None:
    found = await tx.rows(stored.GRANTS.where(stored.GRANTS.selected_columns.client_id == client))
    await grants.revoke_one(tx, found[0]["id"], "revoked")


async def _shut_out(tx: Transaction, tenant: Tenant, _: UUID) -> None:
    await lessening.shut_out(tx, tenant.owner)


async def _less(tx: Transaction, tenant: Tenant, _: UUID) -> None:
    await lessening.of_user(tx, tenant.owner, PREDEFINED["owner"], PREDEFINED["viewer"])


@pytest.fixture
async def app(tenant: Tenant) -> App:
    """Return a client of the tenant's owner, who has given it a grant as well."""
    app = await register(tenant, grant_types=GRANTS, roles=["viewer"])
    await app.granted("run:read offline_access")
    return app


def context(tenant: Tenant) -> Context:
    return Context(tenant.id, f"user:{tenant.owner}", utc_now())


async def revoked(tenant: Tenant, revoking: Revoking, client: UUID) -> bool:
    """Do it in a transaction of its own; false where the other was faster."""
    try:
        async with tenant.world.runtime.database.transaction(context(tenant)) as tx:
            await revoking(tx, tenant, client)
    except Conflict:
        return False
    return True


@pytest.mark.parametrize("revoking", [_its_own, _given, _shut_out, _less], ids=lambda one: one.__name__)
async def test_rotating_a_secret_and_revoking_end_both(app: App, revoking: Revoking) -> None:
    """While one transaction holds the client the other begins to revoke; the first goes on to the grants (S11)."""
    tenant, client = app.tenant, UUID(app.id)
    caller = Principal(tenant.id, f"user:{tenant.owner}", uuid4(), PREDEFINED["owner"], utc_now())
    async with tenant.world.runtime.database.transaction(context(tenant)) as tx:
        await stored.find_client(tx, client, lock=True)
        other = asyncio.create_task(revoked(tenant, revoking, client))
        await asyncio.sleep(0.3)
        await clients.rotate(tx, caller, client, timedelta(0))
    await asyncio.wait_for(other, 30)
    async with tenant.world.runtime.database.transaction(context(tenant)) as tx:
        row = await stored.find_client(tx, client)
        live = [one["id"] for one in await stored.live_grants(tx, f"client:{client}")]
        assert live == [row["grant_id"]], "the client goes on under one grant"
        assert await stored.grants_given_to(tx, client) == []


async def test_two_who_revoke_the_same_do_it_once(app: App) -> None:
    """Of eight at once one succeeds, and the client has one grant."""
    done = await asyncio.gather(*(revoked(app.tenant, _its_own, UUID(app.id)) for _ in range(8)))
    async with app.tenant.world.runtime.database.transaction(context(app.tenant)) as tx:
        live = await stored.live_grants(tx, f"client:{app.id}")
    assert (sum(done) >= 1, len(live)) == (True, 1)
