"""A tenant that is suspended, and resumed."""

import asyncio
from typing import Any

import httpx
import pytest

from examples.broker_week.job import start
from examples.client import ApiError
from tests.system.operations import PLATFORM
from tests.system.payments import AS_OF, DAY, Filing, filed
from tests.system.world import Tenant, World


async def test_suspended_tenant_stops(world: World, tenant: Tenant) -> None:
    """Its tokens are refused everywhere (how soon, test_revocation says), nothing starts; resumed, all works again (S7)."""
    filing = await filed(tenant)
    operator = await world.operator()
    await operator.post(f"{PLATFORM}/{tenant.id}/suspend")
    for path in ("/v1/runs", "/v1/reports", "/v1/rules", "/v1/schedules", "/v1/audit/entries", "/v1/me"):
        await _refused(tenant, path)
    with pytest.raises(ApiError) as caught:
        await start(tenant.api, filing.report, DAY, AS_OF)
    assert caught.value.status == 401
    async with httpx.AsyncClient(base_url=world.url, trust_env=False) as client:
        answer = await client.post("/oauth2/token", data={"grant_type": "client_credentials"}, auth=_basic(tenant))
        assert answer.status_code in (400, 401)
    await operator.post(f"{PLATFORM}/{tenant.id}/resume")
    async with asyncio.timeout(60):
        tenant.api._expires = 0.0
        assert (await _started(filing))["records_out"] == 19


def _basic(tenant: Tenant) -> tuple[str, str]:
    return tenant.credentials.client_id, tenant.credentials.client_secret


async def _refused(tenant: Tenant, path: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await tenant.api.get(path)
            except ApiError as error:
                assert error.status == 401  # noqa: PT017 - waited for
                return
            await asyncio.sleep(0.02)


async def _started(filing: Filing) -> Any:
    """Run as soon as every service knows that the tenant works again."""
    while True:
        try:
            return await filing.run()
        except ApiError as error:
            assert error.status in (401, 403, 409), error  # noqa: PT017 - waited for
            await asyncio.sleep(0.2)
