"""A running auth service in this process, and the people who use it."""

import asyncio
import base64
import hashlib
import itertools
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson
from fastapi import FastAPI

from deploy.local import nats
from libs.common.app import Runtime, build_app, running
from libs.common.context import Context, utc_now
from libs.common.ids import SYSTEM_TENANT
from services.auth import operator
from services.auth.main import service
from services.auth.settings import Settings

PASSWORD = "correct horse battery staple"
PUBLIC_URL = "https://regent.test"
KEY = hashlib.sha256(b"the key of these tests").digest()
NUMBERS = itertools.count(1)


def ring(active: str = "k1", **keys: bytes) -> str:
    """Return the text of a key ring."""
    held = {name: base64.b64encode(key).decode() for name, key in (keys or {"k1": KEY}).items()}
    return orjson.dumps({"active": active, "keys": held}).decode()


def settings(databases: Mapping[str, str], bus: nats.Nats, folder: Path, **changed: Any) -> Settings:
    """Return the settings of an auth service under test."""
    values = {
        "database_url": databases["auth_server"],
        "relay_database_url": databases["auth_relay"],
        "keeper_database_url": databases["auth_keeper"],
        "nats_url": bus.url,
        "nkey_seed_file": bus.seeds["auth"],
        "objects": (folder / "objects").as_uri(),
        "listen_port": 1,
        "public_url": PUBLIC_URL,
        "keyring": ring(),
        "mailer_database_url": databases["auth_mailer"],
        "smtp_url": "smtp://127.0.0.1:9?tls=none",
        "mail_from": "Regent <regent@regent.test>",
    }
    return Settings(**{**values, **changed})


@dataclass(frozen=True, slots=True)
class Fresh:
    """A database of its own with auth's schema at head: URLs by role."""

    urls: Mapping[str, str]


@dataclass(slots=True)
class World:
    """One auth service in this process, as the outside sees it."""

    app: FastAPI
    runtime: Runtime
    databases: Mapping[str, str]

    def client(self, address: str | None = None) -> httpx.AsyncClient:
        """Return a caller, each from an address of its own."""
        number = next(NUMBERS)
        seen = address or f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL, headers={"X-Forwarded-For": seen})

    async def tenant(self) -> "Tenant":
        """Make a tenant with its owner, as an operator does."""
        email = f"owner-{uuid4().hex[:12]}@example.com"
        person = operator.NewPerson(email, "Olga Owner", PASSWORD)
        tenant, owner = await operator.create_tenant(self.runtime.database, utc_now(), "Broker", person)
        await self.prove(email)
        return Tenant(self, tenant, owner, email)

    async def prove(self, email: str, *, proven: bool = True) -> None:
        """Let an address count as proven, as after a link by its mail, or as one that somebody else wrote down."""
        async with self.runtime.database.transaction(Context(SYSTEM_TENANT, "service:test")) as tx:
            when = utc_now() if proven else None
            await tx.connection.execute("UPDATE identity SET email_proven_at = $2 WHERE email = $1", email, when)

    async def outbox(self, tenant: UUID) -> list[dict[str, Any]]:
        """Return a tenant's events, in order."""
        connection = await asyncpg.connect(self.databases["auth_relay"], server_settings={"search_path": "auth"})
        rows = await connection.fetch("SELECT body FROM outbox WHERE tenant_id = $1 ORDER BY position", tenant)
        await connection.close()
        return [orjson.loads(row["body"]) for row in rows]

    async def token_for(self, client_id: UUID, secret: str, **more: str) -> httpx.Response:
        """Ask for a token by client credentials."""
        async with self.client() as http:
            data = {"grant_type": "client_credentials", **more}
            return await http.post("/oauth2/token", data=data, auth=(str(client_id), secret))


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant and its owner."""

    world: World
    id: UUID
    owner: UUID
    email: str

    async def login(self, email: str | None = None, password: str = PASSWORD) -> dict[str, Any]:
        """Log in; returns the tokens."""
        async with self.world.client() as http:
            answer = await http.post("/v1/login", json={"email": email or self.email, "password": password})
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    @asynccontextmanager
    async def caller(self, email: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """Yield a caller who is logged in."""
        tokens = await self.login(email)
        async with self.world.client() as http:
            http.headers["Authorization"] = f"Bearer {tokens['access_token']}"
            yield http

    async def user(self, *roles: str) -> tuple[UUID, str]:
        """Add a user with roles; returns id and address."""
        email = f"user-{uuid4().hex[:12]}@example.com"
        return await self.join(email, *roles), email

    async def join(self, email: str, *roles: str) -> UUID:
        """Make somebody a user who may have an account elsewhere; returns their id."""
        person = operator.NewPerson(email, "Uwe User", PASSWORD)
        id_ = await operator.create_user(self.world.runtime.database, utc_now(), self.id, person, roles)
        await self.world.prove(email)
        return id_

    async def oauth_client(self, *roles: str) -> tuple[UUID, str]:
        """Add a client with roles; returns id and secret."""
        return await operator.create_client(self.world.runtime.database, utc_now(), self.id, "system", roles)


@asynccontextmanager
async def open_world(
    databases: Mapping[str, str], bus: nats.Nats, folder: Path, **changed: Any
) -> AsyncIterator[World]:
    """Start an auth service in this process; ready when it yields."""
    declared = service(settings(databases, bus, folder, **changed))
    async with running(declared) as runtime:
        world = World(build_app(declared, runtime), runtime, databases)
        await until_ready(world)
        yield world


async def until_ready(world: World) -> None:
    """Wait until the service says that it is ready."""
    async with world.client() as http:
        for _ in range(200):
            if (await http.get("/readyz")).status_code == 200:
                return
            await asyncio.sleep(0.05)
        raise AssertionError((await http.get("/readyz")).text)


@asynccontextmanager
async def hosted(databases: Mapping[str, str], bus: nats.Nats, folder: Path, **changed: Any) -> AsyncIterator[World]:
    """The same in a task of its own, for fixtures whose set-up and tear-down are different tasks."""
    opened: asyncio.Future[World] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    async def host() -> None:
        async with open_world(databases, bus, folder, **changed) as world:
            opened.set_result(world)
            await stop.wait()

    task = asyncio.create_task(host())
    await asyncio.wait([task, opened], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    yield opened.result()
    stop.set()
    await task


def random_key() -> bytes:
    """Return a key-encryption key."""
    return os.urandom(32)
