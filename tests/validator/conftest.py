from collections.abc import AsyncIterator

import pytest

from libs.common.jail import JobServer
from services.validator.jail.broker import job_server


@pytest.fixture(scope="session")
async def jail() -> AsyncIterator[JobServer]:
    async with job_server() as server:
        yield server
