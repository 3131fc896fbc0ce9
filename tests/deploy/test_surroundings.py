"""Each service is given its own credentials and nobody else's, and the database lets in only the roles named."""

import importlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from deploy.local import database, nats, postgres
from deploy.local.configuration import SERVICES, Configuration
from deploy.local.postgres import Postgres
from deploy.local.processes import free_port
from deploy.local.services import ROOT, Surroundings, replica_name
from deploy.local.state import role_passwords
from deploy.local.supervisor import Supervisor
from libs.common.settings import Settings

OWN_SECRETS = {"auth", "catalog", "audit"}


@pytest.fixture(scope="module")
async def given(supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Surroundings]:
    """Yield what the launcher deals out, over a database that it prepared itself."""
    data = tmp_path_factory.mktemp("data")
    server = await postgres.prepare(data / "postgres")
    await supervisor.start(server.program("surroundings"))
    passwords = role_passwords(data, [role for service in SERVICES for role in database.roles(service)])
    await database.prepare(server, SERVICES, passwords)
    bus = nats.prepare(data / "nats", data, free_port())
    yield Surroundings(Configuration(data), server, bus, passwords, data)
    await supervisor.stop("surroundings")


def own_settings(service: str) -> type[Settings]:
    """Return the service's own settings class, or the common one where its module is not there."""
    if not (ROOT / "services" / service / "settings.py").exists():
        return Settings
    found = vars(importlib.import_module(f"services.{service}.settings")).values()
    classes = [each for each in found if isinstance(each, type) and issubclass(each, Settings)]
    return max(classes, key=lambda each: len(each.__mro__))


@pytest.mark.parametrize("service", SERVICES)
def test_the_environment_is_a_service_s_settings(given: Surroundings, service: str) -> None:
    """All that the service's settings require is dealt out, under the names that they have there."""
    settings = own_settings(service).load(given.environment(service, 4711))
    assert settings.listen_port == 4711
    assert settings.nkey_seed_file.exists()
    assert f"{service}_server" in settings.database_url.get_secret_value()


@pytest.mark.parametrize("service", SERVICES)
def test_the_kms_is_asked_by_who_keeps_secrets_alone(given: Surroundings, service: str) -> None:
    """What the operator says of a KMS reaches the three services with a ring, and nobody else (S8)."""
    chosen = {"REGENT_KMS_ENDPOINT": "https://kms.test", "REGENT_KMS_ACCESS_KEY_ID": "a", "REGENT_KMS_REGION": "r"}
    configuration = Configuration.load({"REGENT_DATA": str(given.configuration.data), **chosen})
    environment = replace(given, configuration=configuration).environment(service, 4711)
    assert {name: value for name, value in environment.items() if "KMS" in name} == (
        chosen if service in OWN_SECRETS else {}
    )


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_sees_anothers_password(given: Surroundings, service: str) -> None:
    """Only the service's own roles' passwords are in its environment, and not its owner's."""
    text = "\n".join(given.environment(service, 4711).values())
    held = {role for role, password in given.passwords.items() if password in text}
    assert held == set(database.roles(service)) - {f"{service}_owner"}
    assert given.postgres.password not in text


@pytest.mark.parametrize("service", SERVICES)
def test_only_keepers_of_secrets_hold_a_key_ring(given: Surroundings, service: str) -> None:
    """Scheduler, runner and validator are given none (S8)."""
    assert ("REGENT_KEYRING_FILE" in given.environment(service, 4711)) == (service in OWN_SECRETS)


def test_the_validator_knows_the_runners_public_key_only(given: Surroundings) -> None:
    """Job grants are checked against the public half of the runner's key."""
    key = given.environment("validator", 4711)["REGENT_RUNNER_PUBLIC_KEY"]
    assert key == nats.public_key(given.nats.seeds["runner"].read_text())
    assert key.startswith("U")


def test_the_jail_is_given_a_directory_and_nothing_else(given: Surroundings) -> None:
    """The jail's process knows where to listen: no variable, and the directory is its owner's alone (S7)."""
    for name in ("validator", "validator-2"):
        program = given.jail(name)
        assert program.name == name.replace("validator", "jail")
        assert program.environment == {}
        directory = Path(program.command[-2])
        assert given.environment("validator", 4711, name)["REGENT_JAIL"] == str(directory)
        assert directory.stat().st_mode & 0o777 == 0o700
    assert given.jail("validator").command[-2] != given.jail("validator-2").command[-2]


def test_the_jail_and_its_broker_hear_of_the_same_isolation(given: Surroundings) -> None:
    """What the operator asks of the jail is asked of the process and expected by the service."""
    configuration = Configuration.load({"REGENT_DATA": str(given.configuration.data), "REGENT_ISOLATION": "namespaces"})
    chosen = replace(given, configuration=configuration)
    assert chosen.jail("validator").command[-1] == "namespaces"
    assert chosen.environment("validator", 4711)["REGENT_ISOLATION"] == "namespaces"
    assert given.jail("validator").command[-1] == "auto"


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_role_reaches_its_own_schema_only(given: Surroundings, service: str) -> None:
    """Every role can connect, and sees no table of another service."""
    foreign = SERVICES[SERVICES.index(service) - 1]
    for role in set(database.roles(service)) - {f"{service}_owner"}:
        connection = await asyncpg.connect(given.postgres.url(role, given.passwords[role], database.DATABASE))
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"SELECT 1 FROM {foreign}.outbox")  # our own names
        finally:
            await connection.close()


async def test_a_strange_role_cannot_connect(given: Surroundings) -> None:
    """The database refuses a role that nobody named."""
    admin = await asyncpg.connect(given.postgres.url())
    try:
        await admin.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    finally:
        await admin.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(given.postgres.url("stranger", "stranger", database.DATABASE))


async def test_preparing_twice_changes_nothing(given: Surroundings) -> None:
    """A second start applies no migration again and keeps every row."""
    before = await _applied(given.postgres)
    await database.prepare(given.postgres, SERVICES, given.passwords)
    assert await _applied(given.postgres) == before


async def _applied(server: Postgres) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(server.url(database=database.DATABASE))
    try:
        found = [await connection.fetch(f"SELECT * FROM {service}.schema_migration ORDER BY 1") for service in SERVICES]
        return [tuple(row) for rows in found for row in rows]
    finally:
        await connection.close()


def test_replicas_have_names(tmp_path: Path) -> None:
    """The first process has the service's name, the others a number."""
    assert [replica_name("runner", number) for number in range(3)] == ["runner", "runner-2", "runner-3"]
