"""Real servers for every test that wants one: a PostgreSQL and a NATS per test process."""

import gc
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from deploy.local import database, nats, postgres
from deploy.local.configuration import SERVICES
from deploy.local.processes import free_port
from deploy.local.supervisor import Supervisor

settings.register_profile("regent", deadline=None)  # an example may take seconds where others use the machine too
settings.load_profile("regent")

_SYSTEM = "tests/system"
_PARTS = {
    "walks": ("bad_input", "tenancy", "tenancy_oauth"),
    "waits": ("backtest", "data_keys", "exceptions_chaos", "indicators", "keys", "kill", "schedule", "transforms"),
    "demo": ("demo",),  # it starts a Regent of its own
}
_PART_OF = {f"{_SYSTEM}/test_{name}.py": f"{_SYSTEM}/{part}" for part, names in _PARTS.items() for name in names}
_LONGEST_FIRST = (
    *(_SYSTEM, f"{_SYSTEM}/waits", f"{_SYSTEM}/walks", f"{_SYSTEM}/demo", "tests/conformance"),
    *("tests/tenancy/", "tests/deploy/", "tests/runner/", "tests/validator/", "tests/audit/"),
)


def _part(file: str) -> str:
    """Return what goes to one worker together with a test file: most files go alone.

    tests/system goes in parts: walks over all routes, stories that wait, the demo, the rest; so each worker starts the
    whole of Regent once at most. tests/conformance is one part, for the same reason.
    """
    if file.startswith("tests/conformance/"):
        return "tests/conformance"
    return _PART_OF.get(file, _SYSTEM if file.startswith(f"{_SYSTEM}/test_") else file)


class _FewStacksForSystemTests(LoadFileScheduling):  # type: ignore[misc]
    """Parts go to workers one by one, in the order of the tests."""

    def _split_scope(self, nodeid: str) -> str:
        return _part(super()._split_scope(nodeid))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker is left alone with it at the end; small files come last."""

    def rank(item: pytest.Item) -> int:
        part = _part(item.nodeid.partition("::")[0])
        fits = (part == one or (one.endswith("/") and part.startswith(one)) for one in _LONGEST_FIRST)
        return next((place for place, fitting in enumerate(fits) if fitting), len(_LONGEST_FIRST))

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """Spare the garbage collector some million objects that stay: it would look at all of them again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _FewStacksForSystemTests | None:
    """Choose how tests are dealt out to workers: `--dist loadfile`, with some files as one."""
    config.option.loadscopereorder = False  # it would put many short tests before few long ones
    return _FewStacksForSystemTests(config, log) if config.getvalue("dist") == "loadfile" else None


def _silent(_name: str, _line: str) -> None:
    """Servers under test keep their logs to themselves; a failed start carries its last lines."""


@pytest.fixture(scope="session")
async def supervisor() -> AsyncIterator[Supervisor]:
    """Yield the supervisor that stops the session's servers."""
    async with Supervisor(_silent) as running:
        yield running


@pytest.fixture(scope="session")
async def postgres_server(supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> postgres.Postgres:
    """Return a running PostgreSQL with its socket and loopback TCP: `url()`, `tcp_url()`."""
    server = await postgres.prepare(_private(tmp_path_factory, "postgres"), port=free_port())
    await supervisor.start(server.program())
    return server


@pytest.fixture(scope="session")
async def nats_server(supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> nats.Nats:
    """Return a running NATS with accounts, streams and durables: `url`, `seeds["runner"]`, `connect("runner")`."""
    return await start_nats(supervisor, tmp_path_factory, "nats")


async def start_nats(supervisor: Supervisor, factory: pytest.TempPathFactory, name: str) -> nats.Nats:
    """Start a NATS; tests that write what no service writes have one of their own."""
    home = _private(factory, name)
    server = nats.prepare(home, home / "secrets", free_port())
    await supervisor.start(server.program(name))
    await server.provision()
    return server


def _private(factory: pytest.TempPathFactory, name: str) -> Path:
    return factory.mktemp(name)


@pytest.fixture(scope="session")
async def databases(postgres_server: postgres.Postgres) -> dict[str, str]:
    """Return the URLs of all services' database roles, by role, in a database where every schema is at head."""
    names = [role for service in SERVICES for role in database.roles(service)]
    passwords = {name: secrets.token_urlsafe(16) for name in names}
    await database.prepare(postgres_server, SERVICES, passwords)
    return {name: postgres_server.url(name, password, database.DATABASE) for name, password in passwords.items()}
