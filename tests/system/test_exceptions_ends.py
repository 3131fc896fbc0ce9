"""How exceptions and waivers end by themselves, as people see it: a run that is cancelled, a waiver whose last day is past."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from examples.broker_week.job import start, wait
from examples.client import Api
from libs.common.context import utc_now
from libs.common.database.pool import Database
from services.validator.exceptions import lapsing
from tests.system.payments import AS_OF, DAY, filed
from tests.system.test_exceptions import do, of, on, payments, until
from tests.system.world import Tenant, World

MANY = 500_000
"""So many more payments are transformed, rendered and delivered for a while after the verdict."""


async def told(api: Api, event: str, subject: str) -> Any:
    """Return the data of an event of a subject, once the audit trail has it."""
    async with asyncio.timeout(30):
        while not (found := await api.pages("/v1/audit/entries", type=event, subject=subject)):  # noqa: ASYNC110 - another's
            await asyncio.sleep(0.2)
    (entry,) = found
    return (await api.get(f"/v1/audit/entries/{entry['seq']}"))["event"]["data"]


async def judged(api: Api, run_id: UUID) -> list[Any]:
    """Return a run's exceptions, once their verdict is told."""
    async with asyncio.timeout(60):
        while True:
            rows: list[Any] = (await api.get("/v1/exceptions", run_id=str(run_id), order="oldest"))["items"]
            if rows and not any(row["provisional"] for row in rows):
                return rows
            await asyncio.sleep(0.02)


async def test_a_run_that_is_cancelled_after_its_verdict_leaves_no_work(tenant: Tenant) -> None:
    """What was open closes as void and says why, what somebody decided stays; the run again has its own (S20, S28)."""
    lines = (f"M{n:06},1.25,2026-03-02\n" for n in range(MANY))
    api, filing = tenant.api, await filed(tenant, payments() + "".join(lines))
    run_id = await start(api, filing.report, DAY, AS_OF)
    rows = await judged(api, run_id)
    waived = next(row for row in rows if row["key"] == "P002")
    await do(api, waived, "waive", reason="a free one", expires_on="2099-01-01")
    await api.post(f"/v1/runs/{run_id}/cancel", {"reason": "the wrong file"})
    run = await wait(api, run_id)
    assert run["status"] == "cancelled", run["reason"]
    for key in ("P001", "P003"):
        await until(api, f"/v1/exceptions/{(await of(api, run, key))['id']}", "closed")
    seen = {row["key"]: (row["status"], row["resolution"], row["provisional"])
            for row in (await api.get("/v1/exceptions", run_id=str(run_id)))["items"]}  # fmt: skip
    assert seen == {**dict.fromkeys(("P001", "P003"), ("closed", "void", False)), "P002": ("waived", None, False)}
    (group,) = (await api.get("/v1/exceptions/groups", run_id=str(run_id)))["items"]
    assert (group["open"], group["waived"], group["closed"]) == (0, 1, 2)
    (line,) = (await api.get(f"/v1/exceptions/{(await of(api, run, 'P001'))['id']}/history"))["items"]
    assert (line["action"], line["comment"]) == ("closed", "The run was cancelled: the wrong file")
    data = await told(api, "validator.exception.voided.v1", str(run_id))
    assert (data["records"], data["reason"]) == (2, "The run was cancelled: the wrong file")
    again = await filing.rerun(str(run_id))
    open_again = (await api.get("/v1/exceptions", run_id=again["id"], status="open"))["items"]
    assert sorted(row["key"] for row in open_again) == ["P001", "P003"]


async def test_a_waiver_ends_with_its_last_day(world: World, tenant: Tenant) -> None:
    """Until then it holds nothing back; after it the record is in the queue again, by an exception of its own (S28)."""
    api, filing, today = tenant.api, await filed(tenant, payments()), utc_now()
    first = await filing.run()
    row = await of(api, first, "P002")
    await do(api, row, "waive", reason="a free one", expires_on=str(today.date()))
    (waiver,) = (await api.get("/v1/waivers", exception_id=row["id"]))["items"]
    await look_over(world, today)
    assert (await api.get(f"/v1/waivers/{waiver['id']}"))["status"] == "active"
    second = await on(filing, DAY + timedelta(days=1), payments())
    assert (second["records_held"], sum(rule["waived"] for rule in second["rules"])) == (2, 1)
    for _ in range(2):
        await look_over(world, today + timedelta(days=1))
    over = await api.get(f"/v1/waivers/{waiver['id']}")
    assert (over["status"], over["ended_by"]) == ("expired", "service:validator")
    data = await told(api, "validator.waiver.expired.v1", waiver["id"])
    assert (data["before"], data["after"], data["exception_id"]) == ("active", "expired", row["id"])
    third = await on(filing, DAY + timedelta(days=2), payments())
    assert (third["records_held"], sum(rule["waived"] for rule in third["rules"])) == (3, 0)
    assert (await of(api, third, "P002"))["status"] == "open"
    assert (await api.get(f"/v1/exceptions/{row['id']}"))["status"] == "waived", "what it accepted stays accepted"


async def look_over(world: World, now: datetime) -> None:
    """Look for waivers that are over as the validator does every two seconds, at another time of day."""
    passwords, postgres = world.stack.passwords(), world.stack.postgres
    server, claimer = (
        postgres.url(f"validator_{role}", passwords[f"validator_{role}"], "regent") for role in ("server", "claimer")
    )
    async with (
        Database.open(server, service="validator", size=1) as database,
        Database.open(claimer, service="validator", role="claimer", size=1) as looking,
    ):
        await lapsing.end_lapsed(looking, database, now)
