"""One auth service for most tests; those that turn keys or rings start their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local import nats
from tests.auth.world import Tenant, World, hosted


@pytest.fixture(scope="session")
async def world(
    databases: dict[str, str], nats_server: nats.Nats, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """Yield a running auth service."""
    folder: Path = tmp_path_factory.mktemp("auth")
    async with hosted(databases, nats_server, folder) as opened:
        yield opened


@pytest.fixture
async def tenant(world: World) -> Tenant:
    """Return a fresh tenant with its owner."""
    return await world.tenant()
