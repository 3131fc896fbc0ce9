"""A due schedule becomes one run."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from examples.broker_week.job import ENDED
from libs.common.vocabulary.schedules import SameDay, ScheduleSpec
from tests.system.payments import CSV, Filing, filed
from tests.system.world import Tenant


async def _scheduled(filing: Filing) -> list[dict[str, Any]]:
    runs = await filing.tenant.api.get("/v1/runs", report_id=str(filing.report))
    return [run for run in runs["items"] if run["trigger"] == "schedule"]


async def test_every_minute_gives_a_run_for_its_business_date(tenant: Tenant) -> None:
    """`* * * * *` starts a run within two minutes, once for its due time, on the day that the firing carries (S22)."""
    filing = await filed(tenant)
    spec = ScheduleSpec(report_id=filing.report, cron="* * * * *", business_date=SameDay())
    look = await tenant.api.post("/v1/schedules/preview?count=2", spec.model_dump(mode="json"))
    due = [datetime.fromisoformat(item["nominal_time"]) for item in look["items"]]
    assert due[1] - due[0] == timedelta(minutes=1)
    assert timedelta() < due[0] - datetime.now(UTC) <= timedelta(minutes=1)
    for day in {item["business_date"] for item in look["items"]}:
        (tenant.inbox / f"payments-{day}.csv").write_text(CSV, encoding="utf-8")
    schedule = await tenant.api.post("/v1/schedules", {"name": "minutely", "spec": spec.model_dump(mode="json")})
    async with asyncio.timeout(120):
        while not [run for run in await _scheduled(filing) if run["status"] in ENDED]:  # noqa: ASYNC110 - it happens elsewhere
            await asyncio.sleep(0.5)
    await tenant.api.post(f"/v1/schedules/{schedule['id']}/pause")
    runs = await _scheduled(filing)
    firings = (await tenant.api.get(f"/v1/schedules/{schedule['id']}/firings"))["items"]
    assert len(runs) == len(firings)
    first, firing = runs[-1], firings[-1]
    shown = await tenant.api.get(f"/v1/runs/{first['id']}")
    assert (first["status"], shown["schedule_id"]) == ("partial", schedule["id"]), first["reason"]
    assert first["business_date"] == firing["business_date"]
    assert datetime.fromisoformat(shown["nominal_time"]) == datetime.fromisoformat(firing["nominal_time"])
