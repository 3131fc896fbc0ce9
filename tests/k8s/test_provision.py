"""The job that prepares a cluster, on a real database and a real bus."""

from urllib.parse import unquote, urlsplit

import pytest

from deploy.k8s.provision import Provisioning, prepare
from deploy.local.configuration import SERVICES
from deploy.local.database import DATABASE
from deploy.local.nats import Nats
from deploy.local.postgres import Postgres


async def test_the_job_runs_again_safely(
    postgres_server: Postgres, databases: dict[str, str], nats_server: Nats, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run before each release: on what is at head it changes nothing and says so."""
    given = Provisioning(
        admin_url=postgres_server.url(database=DATABASE),
        passwords={role: unquote(urlsplit(url).password or "") for role, url in databases.items()},
        nats_url=nats_server.url,
        seed=nats_server.seeds["provisioner"].read_text().strip(),
        replicas=1,
    )
    await prepare(given)
    said = capsys.readouterr().out.splitlines()
    assert said == [*(f"{service}: at head" for service in SERVICES), "bus: streams with 1 replicas"]
