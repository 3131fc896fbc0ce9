"""One running stack for all of these tests, see `pytest_xdist_make_scheduler`; and people in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.conformance.server import App, Person, Server, open_server


@pytest.fixture(scope="package")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Yield the running stack."""
    home: Path = tmp_path_factory.mktemp("conformance")
    async with open_server(home) as opened:
        yield opened


@pytest.fixture(scope="package")
async def person(server: Server) -> Person:
    """Return a tenant's owner who is logged in at a browser."""
    return await server.at_browser()


@pytest.fixture(scope="package")
async def stranger(server: Server) -> Person:
    """Return the owner of another tenant."""
    return await server.at_browser()


@pytest.fixture(scope="package")
async def app(person: Person) -> App:
    """Return a client with a secret that may have codes and refresh tokens."""
    return await person.register()


@pytest.fixture(scope="package")
async def native(person: Person) -> App:
    """Return a public client."""
    return await person.register(kind="public", redirect_uris=["http://127.0.0.1/cb"])


@pytest.fixture(scope="package")
async def caller(server: Server) -> httpx.AsyncClient:
    """Return one caller whose tokens are refused; that is not counted."""
    return await server.http()
