"""The running system as tests see it, and tenants in it, made the way an operator makes them."""

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg

from deploy.local.configuration import Configuration
from deploy.local.logs import Printer
from deploy.local.processes import free_port
from deploy.local.services import ROOT
from deploy.local.stack import Stack
from examples.client import Api
from examples.demo import Credentials
from libs.common.vocabulary.connections import DirectoryDestination, PostgresConnector
from tests.documented import watched

SHARED = ROOT.parent / "shared"
_BRISK = {"REGENT_CHECKPOINT_SECONDS": "1", "REGENT_LEASE_SECONDS": "10", "REGENT_RETRY_SECONDS": "0.1"}


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation: its owner's client, and where what it sends and receives lies."""

    id: UUID
    name: str
    owner: tuple[str, str]
    credentials: Credentials
    api: Api
    inbox: Path
    outbox: Path

    @property
    def destination(self) -> DirectoryDestination:
        """Deliver to the tenant's own directory."""
        return DirectoryDestination(root="outbox", path=self.outbox.name)

    def delivered(self) -> list[str]:
        """Return the names of the files that were delivered."""
        return sorted(path.name for path in self.outbox.iterdir())


class World:
    """The stack, its operator, and roots for files that come in and go out."""

    def __init__(self, stack: Stack, home: Path, closed_port: int, exits: AsyncExitStack) -> None:
        self.stack = stack
        self.home = home
        self.closed_port = closed_port
        self.url = stack.configuration.public_url
        self._exits = exits
        self._operator: Api | None = None

    async def tenant(self, name: str) -> Tenant:
        """Make a tenant through the platform's API, and a client with its owner's rights."""
        unique = f"{name.replace('_', '-')[:40]}-{uuid4().hex[:6]}"
        owner = (f"owner@{unique}.example", secrets.token_urlsafe(18))
        body = {"name": unique, "owner": {"email": owner[0], "name": "Owner", "password": owner[1]}}
        made = await (await self.operator()).post("/v1/tenants", body)
        credentials = await self._client_of(owner)
        api = await self.opened(Api(self.url, credentials.client_id, credentials.client_secret))
        inbox, outbox = (self.home / place / unique for place in ("inbox", "outbox"))
        for place in (inbox, outbox):
            place.mkdir()
        return Tenant(UUID(made["id"]), unique, owner, credentials, api, inbox, outbox)

    async def operator(self) -> Api:
        """Return the platform operator's API; its client is made on the command line, once."""
        if self._operator is None:
            arguments = ("client", "create", "--tenant", "system", "--name", "platform", "--roles", "platform_operator")
            made = await self.command(*arguments)
            self._operator = await self.opened(Api(self.url, made["client_id"], made["client_secret"]))
        return self._operator

    async def command(self, *arguments: str, typed: str = "") -> Any:
        """Run `regent` on this machine, with a line on its standard input, and return what it prints.

        Raises:
            RuntimeError: it failed; with what it said.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deploy.cli", "--json", *arguments),
            cwd=ROOT,
            env={"REGENT_DATA": str(self.stack.configuration.data)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, said = await process.communicate(f"{typed}\n".encode())
        if process.returncode:
            raise RuntimeError(said.decode())
        return json.loads(out)

    async def user(self, tenant: Tenant, *roles: str) -> tuple[UUID, str, str]:
        """Add a user to a tenant, as an operator does; returns id, address and password."""
        email, password = f"{uuid4().hex[:8]}@example.com", secrets.token_urlsafe(18)
        words = ("--tenant", str(tenant.id), "--email", email, "--name", "User", "--roles", ",".join(roles))
        made = await self.command("user", "create", *words, "--password-stdin", typed=password)
        return UUID(made["user_id"]), email, password

    async def opened(self, api: Api) -> Api:
        """Return the API, closed with the world; what it answers is held against its document."""
        watched(api._http)
        return await self._exits.enter_async_context(api)

    async def _client_of(self, owner: tuple[str, str]) -> Credentials:
        async with Api(self.url, token="none") as anybody:
            logged_in = await anybody.post("/v1/login", {"email": owner[0], "password": owner[1]})
        async with Api(self.url, token=logged_in["access_token"]) as api:
            client = await api.post("/v1/clients", {"name": "integration", "roles": ["owner"]})
        return Credentials(client["client_id"], client["client_secret"])

    async def database(self, *statements: str) -> "SourceDatabase":
        """Make a database of its own in the customer's server, with a role that may only read it."""
        name, password = f"source_{uuid4().hex[:8]}", secrets.token_urlsafe(18)
        source = SourceDatabase(self._source_url("postgres"), self._source_url(name), name, password)
        await source.create()
        for statement in statements:
            await source.execute(statement)
        return source

    def _source_url(self, database: str) -> str:
        if self.stack.source is None:
            raise ValueError("the stack was started without a source")
        return self.stack.source.tcp_url().rpartition("/")[0] + f"/{database}"

    def log_lines(self, name: str) -> Sequence[str]:
        """Return what a process said so far."""
        return (self.stack.configuration.data / "logs" / f"{name}.log").read_text(encoding="utf-8").splitlines()


@dataclass(frozen=True, slots=True)
class SourceDatabase:
    """A customer's database; `name` is also the name of the role that may read it."""

    server_url: str
    url: str
    name: str
    password: str

    async def create(self) -> None:
        """Create the database and its reader."""
        async with connected(self.server_url) as connection:
            await connection.execute(f"CREATE DATABASE {self.name}")
            await connection.execute(f"CREATE ROLE {self.name} LOGIN PASSWORD '{self.password}'")
        await self.execute(f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {self.name}")

    async def execute(self, statement: str) -> None:
        """Run statements as the database's administrator."""
        async with connected(self.url) as connection:
            await connection.execute(statement)

    def connector(self, port: int | None = None) -> PostgresConnector:
        """Return how to reach it, through another port if given."""
        place = urlsplit(self.url)
        return PostgresConnector(
            host=str(place.hostname), port=port or place.port or 0, database=self.name, user=self.name, tls="disable"
        )


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Open a connection for a moment."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def open_world(home: Path) -> AsyncIterator[World]:
    """Start everything below `home` and stop it at the end."""
    for place in ("inbox", "outbox"):
        (home / place).mkdir()
    closed_port, gateway = free_port(), free_port()
    configuration = Configuration(
        data=home / "data",
        port=gateway,
        source_roots={"*": {"inbox": str(home / "inbox")}},
        destination_roots={"*": {"outbox": str(home / "outbox")}},
        outbound_allow=(f"127.0.0.1:{closed_port}", f"127.0.0.1:{gateway}", f"localhost:{gateway}"),
        common=_BRISK,
    )
    printer = Printer(configuration.data / "logs", quiet=True)
    async with AsyncExitStack() as exits:
        exits.callback(printer.close)
        stack = await exits.enter_async_context(Stack(configuration, printer, source=True))
        clients = await exits.enter_async_context(AsyncExitStack())
        yield World(stack, home, closed_port, clients)
