"""One running stack for all of these tests, see `pytest_xdist_make_scheduler`; and people in it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conformance.assertions import KEY
from tests.conformance.proofs import given
from tests.conformance.server import CALLBACK, CLIENT, App, Person, Server, open_server


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


@pytest.fixture(scope="module")
async def machine(person: Person) -> App:
    """Return a client with a secret."""
    return await person.register(grant_types=[CLIENT], redirect_uris=[], scopes=None, roles=["viewer"])


@pytest.fixture(scope="module")
async def signer(person: Person) -> App:
    """Return a client with a key."""
    jwks = {"keys": [KEY.as_dict(private=False)]}
    return await person.register(grant_types=[CLIENT], redirect_uris=[], scopes=None, roles=["viewer"], jwks=jwks)


@pytest.fixture(scope="module")
async def bound(person: Person) -> App:
    """Return a public client whose tokens are bound."""
    return await person.register(kind="public", dpop=True, redirect_uris=[CALLBACK])


@pytest.fixture(scope="module")
async def held(person: Person, bound: App) -> dict[str, Any]:
    """Return tokens that are bound to the key."""
    return await given(person, bound)
