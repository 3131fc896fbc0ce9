"""One tenant's rules that never end are killed within their budget, and cost another tenant's tries nothing."""

import asyncio
from uuid import UUID

import pytest

from examples.broker_week.job import publish
from examples.client import Api, ApiError
from libs.common.vocabulary.rules import ExpressionCheck, RuleSpec, SqlCheck
from tests.system.payments import SCHEMA
from tests.system.world import Tenant, World

pytestmark = pytest.mark.chaos

BOMB = (
    "SELECT a._ordinal FROM records a JOIN records b ON b.id <> a.id JOIN records c ON c.id <> a.id "
    "JOIN records d ON d.id <> b.id JOIN records e ON e.id <> c.id WHERE a.id > b.id || c.id || d.id || e.id"
)
RECORDS = [{"id": f"P{number}", "amount": 1} for number in range(1000)]


async def tried(api: Api, schema: UUID, check: ExpressionCheck | SqlCheck) -> str:
    """Try a rule on a thousand records and return how many are held, or why it was stopped."""
    rule = RuleSpec(schema_id=schema, check=check).model_dump(mode="json")
    try:
        answer = await api.post("/v1/rules:try", {"rules": [rule], "records": RECORDS, "business_key": ["id"]})
    except ApiError as error:
        return str(error)
    return str(answer["held"])


async def test_a_tenants_bombs_leave_room_for_anothers_tries(world: World, tenant: Tenant) -> None:
    """Four queries without an end at once: another tenant has its answers before the first of them is stopped (S27)."""
    other = (await world.tenant("quiet")).api
    here, there = [await publish(api, "/v1/schemas", "payments", SCHEMA) for api in (tenant.api, other)]
    bombs = [asyncio.create_task(tried(tenant.api, here, SqlCheck(sql=BOMB))) for _ in range(4)]
    await asyncio.sleep(1)
    answers = [await tried(other, there, ExpressionCheck(expression="id != 'P7'")) for _ in range(3)]
    assert not any(bomb.done() for bomb in bombs), [bomb.result() for bomb in bombs if bomb.done()]
    assert answers == ["1"] * 3
    endings = await asyncio.gather(*bombs)
    assert all("The try was stopped" in ending or ending.startswith("429") for ending in endings), endings
