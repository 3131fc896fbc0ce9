"""A report whose records get worse raises an alert, once, and is well again, once."""

import asyncio
import os
import signal
from typing import Any

import httpx
import pytest

from examples.client import ApiError
from tests.system.payments import CSV, DAY, Filing, filed
from tests.system.world import Tenant, World

GOOD = CSV.replace("P001,-1.25", "P001,1.25")
WORSE = CSV.replace("P002,0.25", "P002,")


async def indicator(filing: Filing, run: Any, **wanted: str) -> Any:
    """Wait until a run is measured and return the indicator."""
    async with asyncio.timeout(30):
        while True:
            found = await _look(filing, **wanted)
            if found and found[0]["run_id"] == run["id"]:
                assert len(found) == 1
                return found[0]
            await asyncio.sleep(0.1)


async def _look(filing: Filing, **wanted: str) -> list[Any]:
    try:
        return list(await filing.tenant.api.pages("/v1/indicators", report_id=str(filing.report), **wanted))
    except (ApiError, httpx.HTTPError):  # the validator is being killed
        return []


async def ran(filing: Filing, content: str) -> Any:
    (filing.tenant.inbox / f"payments-{DAY}.csv").write_text(content, encoding="utf-8")
    return await filing.run()


async def changes(tenant: Tenant) -> list[dict[str, Any]]:
    entries = await tenant.api.pages("/v1/audit/entries", type="validator.indicator.")
    return sorted(entries, key=lambda entry: int(entry["seq"]))


async def test_an_alert_fires_once_and_recovers_once(world: World, tenant: Tenant) -> None:
    """Also where the validator dies as a run ends: each run is one value, each change of state one event (S20)."""
    filing = await filed(tenant, GOOD)
    rule = {"metric": "rule_failure_rate", "subject": str(filing.rule), "warning": "0.01", "critical": 0.2}
    threshold = await tenant.api.post("/v1/indicator-thresholds", {"spec": rule})
    series = [await ran(filing, content) for content in (GOOD, CSV, WORSE)]
    _kill(world, "validator")
    series += [await ran(filing, content) for content in (GOOD, GOOD)]
    wanted = {"metric": "rule_failure_rate", "subject": str(filing.rule)}
    shown = await indicator(filing, series[-1], **wanted)
    assert (shown["state"], shown["value"], shown["average"], shown["runs"]) == ("ok", 0, 0.02, 5)
    assert (shown["name"], shown["threshold_id"]) == ("amount positive", threshold["id"])
    values = await tenant.api.pages(f"/v1/indicators/{shown['id']}/values")
    assert [(one["run_id"], one["value"], one["state"]) for one in reversed(values)] == [
        (run["id"], value, state)
        for run, value, state in zip(
            series, (0, 0.05, 0.05, 0, 0), ("ok", "warning", "warning", "warning", "ok"), strict=True
        )
    ]
    complete = await indicator(filing, series[-1], metric="field_completeness", subject="amount", phase="input")
    told = await tenant.api.pages(f"/v1/indicators/{complete['id']}/values")
    assert [one["numerator"] for one in reversed(told)] == [20, 20, 19, 20, 20]
    async with asyncio.timeout(30):
        while len(await changes(tenant)) < 2:  # noqa: ASYNC110 - it happens elsewhere
            await asyncio.sleep(0.2)
    assert [entry["type"].split(".")[2] for entry in await changes(tenant)] == ["alerted", "recovered"]
    assert (await tenant.api.get("/v1/indicators", state="critical"))["items"] == []


def _kill(world: World, name: str) -> None:
    pid = world.stack.children[name].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def test_thresholds_are_edited_by_revision(tenant: Tenant) -> None:
    """A threshold is made, read, changed by who read it last, listed and deleted; what makes no sense is named."""
    body: dict[str, Any] = {"metric": "lateness", "warning": 1800, "critical": 7200}
    made = await tenant.api.post("/v1/indicator-thresholds", {"spec": body})
    assert made["spec"]["critical"] == "7200"
    place = f"/v1/indicator-thresholds/{made['id']}"
    changed = await tenant.api.change(place, {"spec": {**body, "warning": 60}})
    assert (changed["revision"], changed["spec"]["warning"]) == (2, "60")
    assert [one["id"] for one in await tenant.api.pages("/v1/indicator-thresholds")] == [made["id"]]
    with pytest.raises(ApiError) as refused:
        await tenant.api.post("/v1/indicator-thresholds", {"spec": body})
    assert (refused.value.status, refused.value.problem["errors"][0]["field"]) == (409, "/spec/metric")
    for wrong in ({"warning": 8000}, {"metric": "error_rate"}, {"metric": "speed"}, {"levels": 1}):
        with pytest.raises(ApiError) as refused:
            await tenant.api.post("/v1/indicator-thresholds", {"spec": {**body, **wrong}})
        assert refused.value.status == 422
