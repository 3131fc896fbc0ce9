"""The running stack as strangers see it: its gateway, its people and their clients."""

import asyncio
import base64
import hashlib
import itertools
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
from sqlalchemy import Table, func, select, update

from deploy.local.configuration import Configuration
from deploy.local.database import DATABASE
from deploy.local.logs import Printer
from deploy.local.processes import free_port
from deploy.local.stack import Stack
from libs.common.context import Context, utc_now
from libs.common.database.pool import Database
from services.auth import operator
from tests.conformance.browser import PASSWORD, Browser
from tests.conformance.tokens import Forge, publish_forge

CALLBACK = "https://client.example/cb"
CODE, REFRESH, CLIENT = "authorization_code", "refresh_token", "client_credentials"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
API = "/v1/reports"
"""A route of a service that is not auth, behind the same gateway; it wants `report:read`."""
_UNUSED = ("scheduler", "runner", "validator", "audit")
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""One for all callers: a fresh one reads the system's certificates, which takes longer than the requests."""
_ADDRESSES = itertools.count(2)


def challenge(verifier: str) -> str:
    """Return a verifier's S256 challenge."""
    return half_url(hashlib.sha256(verifier.encode()).digest())


def half_url(content: bytes) -> str:
    """Return bytes as base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def new_verifier() -> str:
    """Return a PKCE verifier."""
    return secrets.token_urlsafe(48)


@dataclass(slots=True)
class App:
    """A registered client of a tenant."""

    server: "Server"
    http: httpx.AsyncClient
    id: str
    secret: str | None
    uri: str

    def ask(self, verifier: str, **changed: str) -> dict[str, str]:
        """Return the parameters of a sound request; an empty text leaves one out."""
        asked = {
            "client_id": self.id,
            "redirect_uri": self.uri,
            "response_type": "code",
            "scope": "report:read offline_access",
            "state": "s&=1",
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
            **changed,
        }
        return {name: value for name, value in asked.items() if value}

    async def afar(self, **changed: Any) -> "App":
        """Return the same client at an address of its own, where failures may be made; or with other credentials."""
        return replace(self, http=await self.server.http(), **changed)

    async def post(self, path: str, *, headers: Mapping[str, str] | None = None, **form: str) -> httpx.Response:
        """Send a form as this client; an empty text leaves a field out."""
        given = {name: value for name, value in form.items() if value}
        if self.secret is None:
            return await self.http.post(path, data={"client_id": self.id, **given}, headers=headers)
        return await self.http.post(path, data=given, auth=(self.id, self.secret), headers=headers)

    async def token(self, *, headers: Mapping[str, str] | None = None, **form: str) -> httpx.Response:
        """Ask the token endpoint."""
        return await self.post("/oauth2/token", headers=headers, **form)

    async def redeem(self, code: str, verifier: str, **changed: str) -> httpx.Response:
        """Exchange a code."""
        form = {"grant_type": CODE, "code": code, "redirect_uri": self.uri, "code_verifier": verifier}
        return await self.token(**{**form, **changed})

    async def refresh(self, token: str, **more: str) -> httpx.Response:
        """Exchange a refresh token."""
        return await self.token(grant_type=REFRESH, refresh_token=token, **more)

    async def active(self, token: str) -> bool:
        """Ask introspection whether a token of this client's is good."""
        answer = await self.post("/oauth2/introspect", token=token)
        assert answer.status_code == 200, answer.text
        found: bool = answer.json()["active"]
        return found


@dataclass(slots=True)
class Person:
    """A tenant's owner, logged in at a browser."""

    server: "Server"
    tenant: UUID
    id: UUID
    email: str
    access_token: str
    browser: Browser

    async def register(self, **changed: Any) -> App:
        """Register a client; by default one with a secret that a user's grants are given to."""
        body = {
            "name": "Ledger",
            "roles": [],
            "grant_types": [CODE, REFRESH],
            "redirect_uris": [CALLBACK],
            "scopes": ["report:read", "run:read", "openid", "profile", "email", "offline_access"],
            **changed,
        }
        headers = {"Authorization": f"Bearer {self.access_token}"}
        answer = await self.browser.http.post("/v1/clients", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        made, uris = answer.json(), body["redirect_uris"]
        return App(self.server, self.browser.http, made["id"], made["client_secret"], uris[0] if uris else "")

    async def code(self, app: App, **changed: str) -> tuple[str, str]:
        """Let an app have a code; returns it and its verifier."""
        verifier = new_verifier()
        given = await self.browser.allow(app.ask(verifier, **changed))
        assert "code" in given, given
        return given["code"], verifier

    async def tokens(self, app: App, **changed: str) -> dict[str, Any]:
        """Go the whole way; returns the token endpoint's answer."""
        answer = await app.redeem(*await self.code(app, **changed))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


class Server:
    """The stack, and how to make people in it the way its operator does."""

    def __init__(self, stack: Stack, database: Database, forge: Forge, exits: AsyncExitStack) -> None:
        self.stack = stack
        self.url = stack.configuration.public_url
        self.forge = forge
        self._database = database
        self._exits = exits

    async def http(self, **more: Any) -> httpx.AsyncClient:
        """Return a caller from an address of its own: failures are counted by address."""
        number = next(_ADDRESSES)
        transport = httpx.AsyncHTTPTransport(verify=_NO_TLS, local_address=f"127.0.{number >> 8 & 255}.{number & 255}")
        place = urlsplit(self.url)
        headers = {"Host": place.netloc}
        base = f"http://127.0.0.1:{place.port}"
        opened = httpx.AsyncClient(
            transport=transport, base_url=base, headers=headers, timeout=30, trust_env=False, **more
        )
        return await self._exits.enter_async_context(opened)

    async def person(self) -> Person:
        """Make a tenant with its owner, and log the owner in with password and API."""
        email = f"owner-{uuid4().hex[:12]}@example.com"
        new = operator.NewPerson(email, "Olga Owner", PASSWORD)
        tenant, owner = await operator.create_tenant(self._database, utc_now(), "Broker", new)
        http = await self.http()
        answer = await http.post("/v1/login", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return Person(self, tenant, owner, email, answer.json()["access_token"], Browser(http))

    async def user(self, tenant: UUID, *roles: str) -> str:
        """Make somebody in a tenant; returns the address."""
        email = f"user-{uuid4().hex[:12]}@example.com"
        new = operator.NewPerson(email, "Uwe User", PASSWORD)
        await operator.create_user(self._database, utc_now(), tenant, new, roles)
        return email

    async def at_browser(self) -> Person:
        """The same, logged in at the browser as well."""
        person = await self.person()
        app = await person.register()
        page = await person.browser.log_in(person.email, app.ask(new_verifier()))
        assert page.status_code == 200, page.text
        assert 'name="decision"' in page.text, page.text
        return person

    async def expire(self, tenant: UUID, table: Table) -> None:
        """Let time pass for what a tenant holds in a table: nobody here waits for ten minutes."""
        async with self._database.transaction(Context(tenant, "system", utc_now())) as tx:
            await tx.execute(update(table).values(expires_at=utc_now() - timedelta(seconds=1)))

    async def latest(self, tenant: UUID, table: Table) -> datetime:
        """Return when the last of what a tenant holds in a table ends."""
        async with self._database.transaction(Context(tenant, "system", utc_now())) as tx:
            found: datetime = await tx.value(select(func.max(table.c.expires_at)))
            return found

    async def api(self, token: str, *, scheme: str = "Bearer", **headers: str) -> httpx.Response:
        """Call a route of another service with a token."""
        http = await self.http()
        return await http.get(API, headers={"Authorization": f"{scheme} {token}", **headers})


@asynccontextmanager
async def open_server(home: Path) -> AsyncIterator[Server]:
    """Start auth, one other service and the gateway below `home`; stop them at the end."""
    configuration = Configuration(data=home / "data", port=free_port())
    printer = Printer(configuration.data / "logs", quiet=True)
    async with AsyncExitStack() as exits:
        exits.callback(printer.close)
        stack = await exits.enter_async_context(Stack(configuration, printer, without=_UNUSED))
        url = stack.postgres.url("auth_server", stack.passwords()["auth_server"], DATABASE)
        database = await exits.enter_async_context(Database.open(url, service="auth", size=2))
        forge = await publish_forge(database, configuration.public_url)
        callers = await exits.enter_async_context(AsyncExitStack())
        server = Server(stack, database, forge, callers)
        await _until_known(server)
        yield server


async def _until_known(server: Server) -> None:
    """Wait until the services know the key that the tests sign with; nothing else says that they do."""
    token = server.forge.token()
    for _ in range(600):
        if (await server.api(token)).status_code == 200:
            return
        await asyncio.sleep(0.1)
    raise AssertionError((await server.api(token)).text)
