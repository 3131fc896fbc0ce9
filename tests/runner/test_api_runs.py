"""The runner's HTTP door, with its workers and its bus behind it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local.nats import Nats
from libs.common.database.pool import Database
from libs.common.jail import JobServer
from tests.runner.live import Judge, Live, live, world_beside
from tests.runner.world import DAY, World


@pytest.fixture(scope="module")
async def service(
    databases: dict[str, str], nats_server: Nats, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Live]:
    """Yield the service, running."""
    async with live(databases, nats_server, tmp_path_factory.mktemp("runner")) as running:
        yield running


@pytest.fixture
async def here(service: Live, databases: dict[str, str], jobs: JobServer, seed_file: Path) -> AsyncIterator[World]:
    """Yield a new tenant beside the running service."""
    async with Database.open(databases["runner_server"], service="runner", size=4) as database:
        world = world_beside(service, database, databases, jobs, seed_file)
        yield world
        await world.clean()


def order(world: World, **more: object) -> dict[str, object]:
    return {"report_id": str(world.report_id), "business_date": DAY.isoformat(), **more}


async def test_a_run_ends_through_the_bus(service: Live, here: World, nats_server: Nats) -> None:
    """POST, pokes, a verdict by event, the artifact: the whole way through the running service."""
    await here.setup()
    headers = service.headers(here.tenant)
    async with Judge(nats_server, held=(3,)).judging(here):
        answer = await service.client.post("/v1/runs", json=order(here), headers=headers)
        assert answer.status_code == 201, answer.text
        run = await service.ended(answer.json()["id"], headers)
    assert (run["status"], run["records_in"], run["records_out"], run["records_held"]) == ("partial", 3, 2, 1)
    content = await service.client.get(run["artifacts"][0]["content"], headers=headers)
    assert content.text == "id,amount\n1,10\n2,20\n"
