"""Backtests through the HTTP door of a running runner."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from deploy.local.nats import Nats
from libs.common.database.pool import Database
from libs.common.jail import JobServer
from tests.runner.live import Judge, Live, live, world_beside
from tests.runner.test_backtests import drafted, rule_spec, with_rule
from tests.runner.world import DAY, World

PERMISSIONS = ("run:*", "backtest:*")


@pytest.fixture(scope="module")
async def service(
    databases: dict[str, str], nats_server: Nats, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Live]:
    """Yield the service, running."""
    async with live(databases, nats_server, tmp_path_factory.mktemp("runner")) as running:
        yield running


@pytest.fixture
async def here(service: Live, databases: dict[str, str], jobs: JobServer, seed_file: object) -> AsyncIterator[World]:
    """Yield a new tenant beside the running service."""
    async with Database.open(databases["runner_server"], service="runner", size=4) as database:
        world = world_beside(service, database, databases, jobs, seed_file)  # type: ignore[arg-type] # a path
        yield world
        await world.clean()


async def test_differences_are_paged_and_belong_to_the_tenant(service: Live, here: World, nats_server: Nats) -> None:
    """Asked, followed to its end, listed page by page; another tenant finds nothing of it."""
    rule, schema = await with_rule(here)
    headers = service.headers(here.tenant, PERMISSIONS)
    body = {"report_id": str(here.report_id), "business_date": DAY.isoformat()}
    async with Judge(nats_server, held=(3,)).judging(here):
        run = (await service.client.post("/v1/runs", json=body, headers=headers)).json()
        await service.ended(run["id"], headers)
    await drafted(here, "rule", rule, rule_spec(schema))
    async with Judge(nats_server, held=(1, 2)).judging(here):
        asked = {"kind": "rule", "id": str(rule), "last": 3}
        made = await service.client.post("/v1/backtests", json=asked, headers=headers)
        assert made.status_code == 201, made.text
        place = made.headers["location"]
        shown = (await service.client.get(place, headers=headers)).json()
        await service.ended(shown["replays"][0]["id"], headers)
    shown = (await service.client.get(place, headers=headers)).json()
    assert (shown["status"], shown["counts"]["newly_failing"], shown["counts"]["newly_passing"]) == ("completed", 2, 1)
    assert shown["counts"]["by_rule"] == {"r1": {"newly_failing": 2, "newly_passing": 1}}
    seen, cursor = [], ""
    while cursor is not None:
        page = await service.client.get(f"{place}/differences?limit=2{cursor}", headers=headers)
        assert page.status_code == 200, page.text
        seen += [(item["difference"], item["key"]) for item in page.json()["items"]]
        cursor = page.json()["next"] and f"&cursor={page.json()['next']}"
    assert seen == [
        ("newly_failing", "1"), ("newly_failing", "2"), ("newly_out", "3"), ("newly_passing", "3"),
        ("no_longer_out", "1"), ("no_longer_out", "2"),
    ]  # fmt: skip
    only = await service.client.get(f"{place}/differences?difference=newly_out", headers=headers)
    assert [item["ordinal"] for item in only.json()["items"]] == [3]
    listed = await service.client.get(f"/v1/backtests?definition_id={rule}", headers=headers)
    assert [item["id"] for item in listed.json()["items"]] == [shown["id"]]
    strange = service.headers(uuid4(), PERMISSIONS)
    assert [(await service.client.get(path, headers=strange)).status_code for path in (place, f"{place}/differences")] == [404, 404]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "field"),
    [({"kind": "report"}, "/kind"), ({"last": 31}, "/last"), ({"id": 1}, "/id"), ({"sha256": "x"}, "/sha256")],
)
async def test_a_bad_backtest_names_its_field(
    service: Live, here: World, change: dict[str, object], field: str
) -> None:
    """4xx with the field's path (S27)."""
    asked = {"kind": "rule", "id": str(uuid4()), **change}
    answer = await service.client.post("/v1/backtests", json=asked, headers=service.headers(here.tenant, PERMISSIONS))
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])


@pytest.mark.parametrize("query", ["cursor=x", "cursor=1.", "offset=5", "cursor=9999.1", "difference=other", "limit=0"])
async def test_a_bad_page_is_refused(service: Live, here: World, query: str) -> None:
    """A cursor that the list did not give out, and what else no page can be, is 422."""
    path = f"/v1/backtests/{uuid4()}/differences?{query}"
    answer = await service.client.get(path, headers=service.headers(here.tenant, PERMISSIONS))
    assert answer.status_code == 422
