import pytest

from deploy.local.nats import Nats
from deploy.local.supervisor import Supervisor
from tests.conftest import start_nats


@pytest.fixture(scope="session")
async def nats_server(supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> Nats:
    """Return a NATS of these tests' own: they write what no service would."""
    return await start_nats(supervisor, tmp_path_factory, "nats-bus")
