from collections.abc import AsyncIterator

import pytest

from libs.common.jail import JobServer


@pytest.fixture(scope="session")
async def jobs() -> AsyncIterator[JobServer]:
    async with JobServer("tests.jail.prisoners:run", preload=("duckdb", "pyarrow"), slots=4) as server:
        yield server
