from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.common.database.pool import Database
from libs.common.jail import JobServer
from services.validator.jail.broker import job_server
from services.validator.jail.transforms import transform_server
from tests.validator.queue import Queue
from tests.validator.rounds import Rounds


@pytest.fixture(scope="session")
async def jail() -> AsyncIterator[JobServer]:
    async with job_server() as server:
        yield server


@pytest.fixture
async def queue(databases: dict[str, str], tmp_path: Path) -> AsyncIterator[Queue]:
    async with Database.open(databases["validator_server"], service="validator", size=4) as database:
        yield Queue(database, databases["validator_relay"], tmp_path)


@pytest.fixture
async def rounds(databases: dict[str, str], tmp_path: Path, jail: JobServer) -> AsyncIterator[Rounds]:
    async with Database.open(databases["validator_server"], service="validator", size=4) as database:
        yield Rounds(database, databases["validator_relay"], tmp_path, jail=jail)


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[JobServer]:
    """Yield one warm server of transforms for a whole module: what one test does to it, the next ones feel."""
    async with transform_server() as running:
        yield running
