"""One running Regent for all system tests: six services, gateway, embedded servers, a customer's source database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.system.world import Tenant, World, open_world


@pytest.fixture(scope="package")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Yield the running system; each of the two parts of the system tests has one, see `pytest_xdist_make_scheduler`."""
    home: Path = tmp_path_factory.mktemp("system")
    async with open_world(home) as opened:
        yield opened


@pytest.fixture
async def tenant(world: World, request: pytest.FixtureRequest) -> Tenant:
    """Return a fresh tenant with a client of the owner's rights."""
    return await world.tenant(request.node.name.split("[")[0])
