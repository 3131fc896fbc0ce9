from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.common.database.pool import Database
from libs.common.jail import JobServer
from services.validator.jail.broker import job_server
from tests.validator.queue import Queue


@pytest.fixture(scope="session")
async def jail() -> AsyncIterator[JobServer]:
    async with job_server() as server:
        yield server


@pytest.fixture
async def queue(databases: dict[str, str], tmp_path: Path) -> AsyncIterator[Queue]:
    async with Database.open(databases["validator_server"], service="validator", size=4) as database:
        yield Queue(database, databases["validator_relay"], tmp_path)
