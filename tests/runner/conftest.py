"""A runner on a real database and a real jail; the tenant is new for every test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.common.database.pool import Database
from libs.common.jail import JobServer
from services.runner.engines.workshop import workshop
from tests.runner.world import World


@pytest.fixture(scope="session")
async def jobs() -> AsyncIterator[JobServer]:
    """Yield the warm job server that all tests share."""
    async with workshop(4) as server:
        yield server


@pytest.fixture(scope="session")
async def seed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with an nkey seed to sign grants with."""
    return World.new_seed(tmp_path_factory.mktemp("seed") / "runner.nk")


@pytest.fixture
async def world(databases: dict[str, str], jobs: JobServer, seed_file: Path, tmp_path: Path) -> AsyncIterator[World]:
    """Yield a runner whose steps are driven by hand."""
    async with (
        Database.open(databases["runner_server"], service="runner", size=8) as database,
        Database.open(databases["runner_reaper"], service="runner", role="reaper", size=1) as reaper,
    ):
        made = World(database, reaper, databases, jobs, seed_file, tmp_path)
        yield made
        await made.clean()
