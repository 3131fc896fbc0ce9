"""`kill -9` of the validator while exceptions open and while many are worked on: all of it, once, or nothing yet."""

import asyncio
import json
import os
import random
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from examples.broker_week.job import start, wait
from examples.client import Api, ApiError
from tests.system.backstage import assert_one_entry_for_every_change, kill, settled
from tests.system.payments import AS_OF, DAY, Filing, filed
from tests.system.test_exceptions import corrected, until
from tests.system.world import Tenant, World

pytestmark = pytest.mark.chaos
HELD, AMENDED = 12_000, 1_500
SEED = int(os.environ.get("SEED", secrets.randbelow(10**9)))
LATER = "2099-01-01"
COUNTS = ("records", "open", "amended", "waived", "resubmitted", "closed")


def payments() -> str:
    """Return payments that are all held; some of them can be told by their amount."""
    lines = (f"P{n:05},{'-2.00' if n <= AMENDED else '-1.00'},2026-03-02\n" for n in range(1, HELD + 1))
    return "id,amount,booked\n" + "".join(lines) + "GOOD,1.00,2026-03-02\n"


async def patiently(ask: Callable[[], Awaitable[Any]], seconds: float = 90) -> Any:
    """Ask until there is an answer; while the validator is away there is none."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await ask()
            except (httpx.HTTPError, ApiError) as error:
                if isinstance(error, ApiError) and error.status < 500:
                    raise
            await asyncio.sleep(0.1)


async def counted(api: Api, run: Any) -> dict[str, int]:
    """Return a run's counts, and hold them against its exceptions, seen one by one."""
    (group,) = (await patiently(lambda: api.get("/v1/exceptions/groups", run_id=run["id"])))["items"]
    seen = await patiently(lambda: api.pages("/v1/exceptions", run_id=run["id"]))
    assert len({row["ordinal"] for row in seen}) == len(seen) == group["records"]
    for status in COUNTS[1:]:
        assert sum(row["status"] == status for row in seen) == group[status], status
    return {name: group[name] for name in COUNTS if group[name]}


async def opening(api: Api, run_id: Any) -> None:
    """Wait until the first exceptions of a run are seen."""
    async with asyncio.timeout(60):
        while not (await api.get("/v1/exceptions", run_id=str(run_id), limit=1))["items"]:  # noqa: ASYNC110 - another's work
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
async def held(world: World) -> tuple[Tenant, Filing, Any]:
    """Hold 12,000 records of a run, whose validator dies when the first of them are seen."""
    tenant = await world.tenant("held")
    filing = await filed(tenant, payments())
    run_id = await start(tenant.api, filing.report, DAY, AS_OF)
    await opening(tenant.api, run_id)
    await kill(world, "validator")
    run = await patiently(lambda: wait(tenant.api, run_id))
    return tenant, filing, run


async def test_exceptions_open_whole_when_the_validator_dies(world: World, held: tuple[Tenant, Filing, Any]) -> None:
    """What was open stays, the rest follows, and nothing is told or counted twice."""
    tenant, _, run = held
    assert (run["status"], run["records_held"], run["records_out"]) == ("partial", HELD, 1), run["reason"]
    assert await counted(tenant.api, run) == {"records": HELD, "open": HELD}
    assert_one_entry_for_every_change(await settled(world))


async def test_a_run_that_is_cancelled_while_exceptions_open_leaves_no_work(
    world: World, held: tuple[Tenant, Filing, Any]
) -> None:
    """What was open by then closes with the reason, though the validator dies in it, and nothing more opens."""
    tenant, filing, _ = held
    api, day = tenant.api, DAY - timedelta(days=1)
    lines = (f"C{n:06},-1.00,2026-03-02\n" for n in range(5 * HELD))
    (tenant.inbox / f"payments-{day}.csv").write_text("id,amount,booked\n" + "".join(lines), encoding="utf-8")
    run_id = await start(api, filing.report, day, AS_OF)
    await opening(api, run_id)
    assert (await api.get("/v1/exceptions", run_id=str(run_id), limit=1))["items"][0]["provisional"] is True
    await api.post(f"/v1/runs/{run_id}/cancel", {"reason": "the wrong file"})
    await kill(world, "validator")
    run = await patiently(lambda: wait(api, run_id))
    assert run["status"] == "cancelled"
    async with asyncio.timeout(120):
        while (await patiently(lambda: api.get("/v1/exceptions/groups", run_id=str(run_id))))["items"][0]["open"]:  # noqa: ASYNC110 - another's work
            await asyncio.sleep(0.2)
    counts = await counted(api, run)
    assert counts["records"] == counts["closed"] < 5 * HELD
    (one,) = (await api.get("/v1/exceptions", run_id=str(run_id), limit=1))["items"]
    assert (one["resolution"], one["provisional"]) == ("void", False)
    (closed,) = (await api.get(f"/v1/exceptions/{one['id']}/history"))["items"]
    assert (closed["action"], closed["comment"]) == ("closed", "The run was cancelled: the wrong file")
    assert_one_entry_for_every_change(await settled(world))


async def test_many_are_worked_on_whole_when_the_validator_dies(world: World, held: tuple[Tenant, Filing, Any]) -> None:
    """An action on many is sent until it is answered: it was done once, and the trail and the counts say so."""
    moments = random.Random(SEED)  # noqa: S311 - moments, no secrets
    print(f"SEED={SEED}")  # noqa: T201 - to repeat it
    tenant, _, run = held
    api = tenant.api
    few = {"run_id": run["id"], "field": "amount", "value": "-2.00"}
    await _do(world, api, moments, "amend", filter=few, expected=AMENDED, reason="sign",
              changes=[{"field": "amount", "value": "2.00"}])  # fmt: skip
    assert await counted(api, run) == {"records": HELD, "open": HELD - AMENDED, "amended": AMENDED}
    rest = {"run_id": run["id"], "status": "open"}
    await _do(world, api, moments, "waive", filter=rest, expected=HELD - AMENDED, reason="free", expires_on=LATER)
    assert await counted(api, run) == {"records": HELD, "amended": AMENDED, "waived": HELD - AMENDED}
    answer = await _do(world, api, moments, "resubmit", filter={"run_id": run["id"]}, expected=HELD)
    sent = answer["resubmission"]
    await kill(world, "validator")
    correction = await patiently(lambda: corrected(api, sent))
    assert (correction["status"], correction["records_out"]) == ("succeeded", HELD), correction["reason"]
    await patiently(lambda: until(api, f"/v1/resubmissions/{sent['id']}", "ended"))
    assert await counted(api, run) == {"records": HELD, "closed": HELD}
    assert_one_entry_for_every_change(await settled(world))


async def _do(world: World, api: Api, moments: random.Random, action: str, **body: Any) -> Any:
    """Act on many while the validator dies some time in it; returns the answer."""
    key, content = str(uuid4()), json.dumps(body).encode()

    async def send() -> Any:
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        return (await api._send("POST", f"/v1/exceptions:{action}", content=content, headers=headers)).json()

    sending = asyncio.create_task(patiently(send))
    await asyncio.sleep(moments.uniform(0.1, 2.0))
    await kill(world, "validator")
    answer = await sending
    assert answer["changed"] == body["expected"]
    return answer
