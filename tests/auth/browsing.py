"""A browser for auth's pages, and clients that send people there."""

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from tests.auth.world import PASSWORD, Tenant, World

CALLBACK = "https://client.example/cb"
SCOPES = ["run:read", "report:read"]
GRANTS = ["authorization_code", "refresh_token"]


def challenge(verifier: str) -> str:
    """Return a verifier's S256 challenge."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


@dataclass(slots=True)
class Form:
    """A form of a page."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)


class Forms(HTMLParser):
    """Reads the forms of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[Form] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(given["action"]))
        if tag == "input" and self.found:
            self.found[-1].fields[given["name"]] = given.get("value", "")


@dataclass(slots=True)
class App:
    """A registered client."""

    tenant: Tenant
    id: str
    secret: str | None

    @property
    def world(self) -> World:
        return self.tenant.world

    def request(self, verifier: str, **changed: str) -> dict[str, str]:
        """Return the parameters of a request; an empty text leaves one out."""
        asked = {
            "client_id": self.id,
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": "run:read",
            "state": "s&=1",
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
            **changed,
        }
        return {name: value for name, value in asked.items() if value}

    async def token(self, **form: str) -> httpx.Response:
        """Ask the token endpoint."""
        auth = (self.id, self.secret) if self.secret else None
        given = form if self.secret else {"client_id": self.id, **form}
        async with self.world.client() as http:
            return await http.post("/oauth2/token", data=given, auth=auth or httpx.USE_CLIENT_DEFAULT)

    async def redeem(self, code: str, verifier: str, **changed: str) -> httpx.Response:
        """Exchange a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": verifier,
            **changed,
        }
        return await self.token(**{name: value for name, value in form.items() if value})

    async def granted(self, scope: str = "run:read", **asked: str) -> dict[str, Any]:
        """Go the whole way: a person allows it and the client has its tokens."""
        verifier = secrets.token_urlsafe(48)
        async with browser(self.world) as person:
            code = (await person.allow(self, self.request(verifier, scope=scope, **asked)))["code"]
        answer = await self.redeem(code, verifier)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@dataclass(slots=True)
class Browser:
    """Somebody at a browser."""

    http: httpx.AsyncClient

    async def open(self, parameters: dict[str, str] | str) -> httpx.Response:
        """Open the authorization endpoint."""
        query = parameters if isinstance(parameters, str) else urlencode(parameters)
        return await self.http.get(f"/oauth2/authorize?{query}")

    async def submit(self, page: httpx.Response, position: int = 0, **fields: str) -> httpx.Response:
        """Fill a form of a page in and send it."""
        form = Forms(page.text).found[position]
        return await self.http.post(form.action, data={**form.fields, **fields})

    async def log_in(self, page: httpx.Response, email: str, password: str = PASSWORD) -> httpx.Response:
        """Fill a login page in."""
        return await self.submit(page, email=email, password=password)

    async def allow(self, app: App, parameters: dict[str, str], email: str | None = None) -> dict[str, str]:
        """Log in where asked, allow where asked; returns the answer to the client."""
        page = await self.open(parameters)
        if 'name="password"' in page.text:
            page = await self.log_in(page, email or app.tenant.email)
        if page.status_code == 200:
            page = await self.submit(page, decision="allow")
        return told(page)


def told(answer: httpx.Response) -> dict[str, str]:
    """Return what an answer tells the client by the browser."""
    assert answer.status_code == 303, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


@asynccontextmanager
async def browser(world: World) -> AsyncIterator[Browser]:
    """Yield a browser without cookies."""
    async with world.client() as http:
        yield Browser(http)


async def register(tenant: Tenant, by: str | None = None, **changed: Any) -> App:
    """Register a client with the token of the tenant's owner, or of somebody else."""
    body = {
        "name": "Ledger <b>",
        "roles": [],
        "grant_types": GRANTS,
        "redirect_uris": [CALLBACK],
        "scopes": SCOPES,
        **changed,
    }
    async with tenant.caller(by) as http:
        answer = await http.post("/v1/clients", json=body)
    assert answer.status_code == 201, answer.text
    return App(tenant, answer.json()["id"], answer.json()["client_secret"])
