"""One auth service for most tests; those that turn keys or rings start their own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from argon2 import PasswordHasher

from deploy.local import nats, postgres
from deploy.local.nats import Nats
from deploy.local.supervisor import Supervisor
from libs.common.migrations import migrate, provision
from services.auth import passwords
from tests.auth.browsing import App, register
from tests.auth.idp import Provider, Providers, provider_server, signed
from tests.auth.mailbox import Mailbox, mail_server
from tests.auth.stage import Stage, staged
from tests.auth.world import NUMBERS, Fresh, Tenant, World, hosted
from tests.conftest import start_nats

_DEAR = passwords._HASHER
_CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@pytest.fixture(scope="session", autouse=True)
def cheap_hashes() -> Iterator[None]:
    """Hash passwords by argon2id at a hundredth of its cost: these tests make some thousand."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passwords, "_HASHER", _CHEAP)
        yield


@pytest.fixture
def dear_hashes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords at their real cost, nobody's too: for tests that are about it."""
    monkeypatch.setattr(passwords, "_HASHER", _DEAR)
    nobody = passwords.hash_password("the password of nobody")
    monkeypatch.setattr(world.runtime.extras["auth"].passwords, "_nobody", nobody)


@pytest.fixture(scope="session")
async def mailbox() -> AsyncIterator[Mailbox]:
    """Yield the mail server that the service under test sends to."""
    async with mail_server() as box:
        yield box


@pytest.fixture(scope="session")
async def idps() -> AsyncIterator[Providers]:
    """Yield identity providers that the service under test may reach."""
    async with provider_server() as providers:
        yield providers


@pytest.fixture(scope="session")
async def world(
    databases: dict[str, str],
    nats_server: nats.Nats,
    mailbox: Mailbox,
    idps: Providers,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[World]:
    """Yield a running auth service."""
    folder: Path = tmp_path_factory.mktemp("auth")
    reach = {"smtp_url": mailbox.url, "outbound_allow": idps.allowed, "identity_provider_seconds": 2}
    async with hosted(databases, nats_server, folder, mail_retry_seconds=0.3, **reach) as opened:
        yield opened


@pytest.fixture
async def tenant(world: World) -> Tenant:
    """Return a fresh tenant with its owner."""
    return await world.tenant()


@pytest.fixture
async def fresh(databases: dict[str, str], postgres_server: postgres.Postgres) -> Fresh:
    """Return a database of its own, the schema at head."""
    return await _fresh(databases, postgres_server)


@pytest.fixture(scope="module")
async def fresh_for_browsers(databases: dict[str, str], postgres_server: postgres.Postgres) -> Fresh:
    """The same for a service that a whole module uses."""
    return await _fresh(databases, postgres_server)


async def _fresh(databases: dict[str, str], postgres_server: postgres.Postgres) -> Fresh:
    name = f"auth_{next(NUMBERS)}"
    connection = await asyncpg.connect(postgres_server.url())
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    await provision(postgres_server.url(database=name), ["auth"], {})
    urls = {role: url.replace("/regent?", f"/{name}?") for role, url in databases.items() if role.startswith("auth_")}
    await migrate(urls["auth_owner"], "auth")
    return Fresh(urls)


@pytest.fixture(scope="session")
async def nats_server(supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> Nats:
    """Return a NATS of these tests' own: their auth removes others' keys from the bucket."""
    return await start_nats(supervisor, tmp_path_factory, "nats-auth")


@pytest.fixture
async def other_nats(supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nats]:
    """Yield a NATS for a service on a `fresh` database: two such services on one bus remove each other's keys."""
    yield await start_nats(supervisor, tmp_path_factory, "nats-fresh")
    await supervisor.stop("nats-fresh")


@pytest.fixture
async def app(tenant: Tenant) -> App:
    """Return a confidential client."""
    return await register(tenant)


@pytest.fixture
def provider(idps: Providers) -> Provider:
    """Return a provider that nobody knows yet."""
    return idps.new()


@pytest.fixture(scope="module")
async def built(world: World, idps: Providers) -> Stage:
    """Return the stage of a whole module."""
    return await staged(await world.tenant(), idps.new())


@pytest.fixture
def stage(built: Stage) -> Stage:
    """Return the stage with an honest provider again."""
    built.provider.forge, built.provider.answer, built.provider.published = signed, None, None
    return built
