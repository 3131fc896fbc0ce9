"""A change of a rule is tried on past data before it counts, and counts once the tenant's policy is met (S3)."""

import asyncio
import os
import signal
import time
from datetime import date
from typing import Any
from uuid import UUID

import httpx
import pytest

from examples.broker_week.job import ENDED, wait
from examples.client import Api, ApiError
from libs.common.vocabulary.rules import RuleSpec
from tests.system.broker import broker
from tests.system.payments import Filing, filed, rule_spec
from tests.system.test_exceptions import do, of, payments
from tests.system.world import Tenant, World


async def drafted(api: Api, path: str, spec: Any) -> None:
    """Change a definition's draft."""
    name = (await api.get(path))["name"]
    await api.change(path, {"name": name, "spec": spec.model_dump(mode="json")})


async def completed(api: Api, backtest_id: str, seconds: float = 60) -> Any:
    """Wait until a backtest is over, and return it; what is down meanwhile is asked again."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                shown = await api.get(f"/v1/backtests/{backtest_id}")
            except (httpx.HTTPError, ApiError):
                shown = {"status": "unknown"}
            if shown["status"] == "completed":
                return shown
            await asyncio.sleep(0.1)


async def asked(api: Api, kind: str, id_: UUID | str, last: int = 3) -> Any:
    """Ask for a backtest and return its end; a draft that the runner has not heard of yet is waited for."""
    draft = (await api.get(f"/v1/{kind}s/{id_}"))["draft"]
    assert draft is not None
    made = await api.post("/v1/backtests", {"kind": kind, "id": str(id_), "last": last})
    return await completed(api, made["id"])


async def proposed(api: Api, path: str, *statuses: str, seconds: float = 60) -> Any:
    """Wait until a definition's proposal has one of these statuses, and return it."""
    deadline, shown = time.monotonic() + seconds, await api.get(path)
    while not (shown["proposal"] and shown["proposal"]["status"] in statuses):
        assert time.monotonic() < deadline, shown
        await asyncio.sleep(0.1)
        shown = await api.get(path)
    return shown["proposal"]


async def keys_held(filing: Filing, run_id: str) -> set[str]:
    """Return the keys of a run's exceptions."""
    return {each["key"] for each in await filing.tenant.api.pages("/v1/exceptions", run_id=run_id)}


async def test_a_backtest_names_the_records_that_a_run_would_hold(tenant: Tenant) -> None:
    """The newly failing keys are those that the next run holds more; nothing is delivered, and no exception opened."""
    filing = await filed(tenant)
    api, before = tenant.api, await filing.run()
    files = tenant.delivered()
    await drafted(api, f"/v1/rules/{filing.rule}", rule_spec(filing.schema, "amount > 3"))
    found = await asked(api, "rule", filing.rule)
    assert (found["runs"], found["failed"], found["counts"]["newly_passing"]) == (1, 0, 0)
    rows = await api.pages(f"/v1/backtests/{found['id']}/differences", difference="newly_failing")
    assert {row["rule_id"] for row in rows} == {str(filing.rule)}
    assert {row["message"].split(" is ")[0] for row in rows} == {"amount 0.25", "amount 1.25", "amount 2.25"}
    replay = found["replays"][0]
    assert (replay["parent_id"], tenant.delivered()) == (before["id"], files)
    assert await keys_held(filing, replay["id"]) == set()
    await api.post(f"/v1/rules/{filing.rule}/publish", {"effective_from": "2000-01-01"})
    after = await filing.rerun(before["id"], "latest")
    more = await keys_held(filing, after["id"]) - await keys_held(filing, before["id"])
    assert more == {row["key"] for row in rows}


async def test_a_mapping_or_schema_shows_the_values_that_change(world: World, tenant: Tenant) -> None:
    """A draft of the schema replaces its version on both sides of the report, also one with a field more; who has no draft is refused."""
    filing = await filed(tenant)
    await filing.run()
    path = f"/v1/schemas/{filing.schema}"
    spec = (await tenant.api.get(f"{path}/versions/1"))["spec"]
    spec["fields"][1]["scale"] = 1
    await tenant.api.change(path, {"name": "payments", "spec": spec})
    found = await asked(tenant.api, "schema", filing.schema)
    assert (found["failed"], found["counts"]["newly_failing"] > 0) == (0, True)
    spec["fields"][1]["scale"] = 2
    spec["fields"].append({"name": "venue", "type": "text", "required": False})
    await tenant.api.change(path, {"name": "payments", "spec": spec})
    more = found
    while more["sha256"] == found["sha256"]:  # the runner has not heard of the new draft yet
        more = await asked(tenant.api, "schema", filing.schema)
    assert (more["failed"], more["counts"]["newly_failing"], more["counts"]["changed"]) == (0, 0, 0), more["replays"]
    async with httpx.AsyncClient(base_url=world.url, trust_env=False) as once:  # the API's client would ask again
        body, headers = {"kind": "rule", "id": str(filing.rule)}, await tenant.api._bearer()
        refused = await once.post("/v1/backtests", json=body, headers=headers)
    assert (refused.status_code, refused.headers["retry-after"]) == (409, "1")


async def test_what_was_decided_of_exceptions_is_no_difference(tenant: Tenant) -> None:
    """A draft that says the same finds nothing different of a run with an amendment and a waiver, and ends neither."""
    filing = await filed(tenant, payments())
    api, first = tenant.api, await filing.run()
    change = {"field": "amount", "value": "1.25"}
    await do(api, await of(api, first, "P001"), "amend", reason="sign", changes=[change])
    await do(api, await of(api, first, "P002"), "waive", reason="a free one", expires_on="9999-12-31")
    second = await filing.run()
    assert (second["records_held"], second["records_out"]) == (1, 19)
    await drafted(api, f"/v1/rules/{filing.rule}", rule_spec(filing.schema, "amount >= 0.01"))
    found = await asked(api, "rule", filing.rule, last=1)
    assert (found["runs"], found["failed"], found["replays"][0]["parent_id"]) == (1, 0, second["id"])
    assert {name: count for name, count in found["counts"].items() if count} == {"records": 19}
    (waiver,) = (await api.get("/v1/waivers", status="active"))["items"]
    (amendment,) = (await api.get("/v1/amendments", status="active"))["items"]
    assert (waiver["expires_on"], amendment["last_run_id"]) == ("9999-12-31", second["id"])


async def second_person(world: World, tenant: Tenant, role: str = "approver") -> Api:
    """Return the API as another person of the tenant sees it."""
    _, email, password = await world.user(tenant, role)
    async with Api(world.url, token="none") as anybody:
        logged_in = await anybody.post("/v1/login", {"email": email, "password": password})
    return await world.opened(Api(world.url, token=logged_in["access_token"]))


async def test_under_the_policy_a_change_is_tried_and_a_second_person_approves(world: World, tenant: Tenant) -> None:
    """Backtest, then approval by another; who made it is refused, an edit in between begins anew."""
    filing = await filed(tenant)
    await filing.run()
    api, path = tenant.api, f"/v1/rules/{filing.rule}"
    policy = {"require_backtest": ["rule"], "require_approval": ["rule"]}
    await api.change("/v1/policies/publication", policy)
    checker = await second_person(world, tenant)
    await drafted(api, path, rule_spec(filing.schema, "amount > 3"))
    async with asyncio.timeout(30):
        while not (await api.get(path))["requires"]:  # noqa: ASYNC110 - the validator follows the policy by itself
            await asyncio.sleep(0.1)
    await api.post(f"{path}/publish", {"effective_from": "2000-01-01"})
    first = await proposed(api, path, "proposed")
    assert first["backtest"]["newly_failing"] == 3
    with pytest.raises(ApiError) as refused:
        await api.post(f"{path}/approve", {})
    assert refused.value.problem["type"].endswith("own-proposal")
    with pytest.raises(ApiError) as unkept:
        await checker.post(f"{path}/approve", {"sha256": first["sha256"], "comment": "as\0discussed"})
    assert (unkept.value.status, unkept.value.problem["errors"][0]["field"]) == (422, "/comment")
    await drafted(api, path, rule_spec(filing.schema, "amount > 2"))
    with pytest.raises(ApiError) as gone:
        await checker.post(f"{path}/approve", {"sha256": first["sha256"]})
    assert gone.value.status == 409
    await api.post(f"{path}/publish", {"effective_from": "2000-01-01"})
    second = await proposed(api, path, "proposed")
    await checker.post(f"{path}/approve", {"sha256": second["sha256"], "comment": "as discussed"})
    shown = await api.get(path)
    assert (shown["latest"], shown["proposal"]["status"], shown["draft"]) == (2, "published", None)
    assert (await filing.run())["records_held"] == 3


@pytest.mark.chaos
@pytest.mark.parametrize("victims", [("runner", "validator")])
async def test_a_backtest_survives_the_death_of_its_workers(world: World, victims: tuple[str, ...]) -> None:
    """Killed in the middle, the backtest comes to its end, with the differences of one that nobody disturbed (S10)."""
    trader = await broker(world, "tried")
    api = trader.tenant.api
    started = [await trader.start(date(2026, 3, day)) for day in (6, 7, 8)]
    for run in await asyncio.gather(*(wait(api, id_) for id_ in started)):
        assert run["status"] in ENDED
    rule = next(one for one in await api.pages("/v1/rules") if one["latest"] == 1)
    spec = (await api.get(f"/v1/rules/{rule['id']}/versions/1"))["spec"]
    changed = RuleSpec.model_validate({**spec, "severity": "warning" if spec["severity"] == "blocking" else "blocking", "fix": None, "tests": []})  # fmt: skip
    await drafted(api, f"/v1/rules/{rule['id']}", changed)
    disturbed = await api.post("/v1/backtests", {"kind": "rule", "id": rule["id"], "last": 3})
    for name in victims:
        child = world.stack.children[name]
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        await asyncio.sleep(1)
    found = await completed(api, disturbed["id"], 120)
    quiet = await asked(api, "rule", rule["id"])
    assert (found["runs"], found["failed"], found["counts"]) == (3, 0, quiet["counts"])
