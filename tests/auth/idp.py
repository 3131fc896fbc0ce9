"""Identity providers for tests: real OpenID providers over HTTP, honest unless told to lie."""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import httpx
import orjson
import uvicorn
from fastapi import FastAPI
from joserfc import jws
from joserfc.jwk import ECKey, Key
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.local.processes import free_port
from libs.common.context import utc_now
from tests.auth.browsing import App, Browser, browser, challenge
from tests.auth.world import Tenant

Forge = Callable[["Provider", dict[str, Any]], str]
"""Makes an ID token of claims."""


@dataclass(slots=True)
class Code:
    """What a code was given for."""

    asked: dict[str, str]
    claims: dict[str, Any]


def key(kid: str) -> ECKey:
    """Make a signing key."""
    return ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": "ES256"})


def signed(provider: "Provider", claims: dict[str, Any]) -> str:
    """Sign an ID token as an honest provider does."""
    header = {"alg": "ES256", "kid": provider.key.kid, "typ": "JWT"}
    return jws.serialize_compact(header, orjson.dumps(claims), provider.key, algorithms=["ES256"])


@dataclass(slots=True)
class Provider:
    """One issuer; its `said` changes its discovery document, `forge` its tokens, `answer` its token endpoint."""

    issuer: str
    key: ECKey = field(default_factory=lambda: key("k1"))
    said: dict[str, Any] = field(default_factory=dict)
    forge: Forge = signed
    answer: Callable[[Request], Any] | None = None
    userinfo: dict[str, Any] | None = None
    published: list[Key] | None = None
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    codes: dict[str, Code] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def described(self) -> dict[str, Any]:
        """Return the discovery document."""
        honest = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "id_token_signing_alg_values_supported": ["ES256", "RS256"],
            "authorization_response_iss_parameter_supported": True,
        }
        return {name: value for name, value in {**honest, **self.said}.items() if value is not None}

    def log_in(self, location: str, subject: str, **claims: Any) -> str:
        """Let somebody log in who was sent here; returns where the browser goes, path and query."""
        asked = dict(parse_qsl(urlsplit(location).query))
        code = secrets.token_urlsafe(16)
        self.codes[code] = Code(asked, {"sub": subject, **claims})
        return self.back(asked, code=code)

    def back(self, asked: dict[str, str], **answer: str) -> str:
        """Return the way back to who asked."""
        uri = urlsplit(asked["redirect_uri"])
        return f"{uri.path}?{urlencode({'state': asked['state'], 'iss': self.issuer, **answer})}"

    def redeem(self, form: dict[str, str], authorization: str) -> Response:
        """Exchange a code as an honest provider does."""
        given = [unquote(part) for part in base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")]
        if (given if authorization else [form["client_id"], form["client_secret"]]) != ["regent", self.secret]:
            return JSONResponse({"error": "invalid_client"}, 401)
        code = self.codes.pop(form["code"], None)
        if code is None or code.asked["redirect_uri"] != form["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        if challenge(form["code_verifier"]) != code.asked["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        access = secrets.token_urlsafe(16)
        token = self.forge(self, self.claims(code, access))
        return JSONResponse({"access_token": access, "token_type": "Bearer", "id_token": token})

    def claims(self, code: Code, access: str) -> dict[str, Any]:
        """Return the claims of an ID token."""
        now: datetime = utc_now()
        half = hashlib.sha256(access.encode()).digest()[:16]
        return {
            "iss": self.issuer,
            "aud": code.asked["client_id"],
            "nonce": code.asked["nonce"],
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(minutes=5)).timestamp()),
            "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(),
            **code.claims,
        }


@dataclass(slots=True)
class Providers:
    """A server on loopback with as many issuers as tests want; `second` is a port for a whole Regent."""

    port: int = field(default_factory=free_port)
    second: int = field(default_factory=free_port)
    known: dict[str, Provider] = field(default_factory=dict)

    @property
    def allowed(self) -> str:
        """What an operator allows to be reached."""
        return f"127.0.0.1:{self.port},127.0.0.1:{self.second}"

    def new(self) -> Provider:
        """Add an issuer."""
        name = secrets.token_hex(6)
        self.known[name] = Provider(f"http://127.0.0.1:{self.port}/{name}")
        return self.known[name]

    async def serve(self, request: Request) -> Response:
        """Answer as the issuer that is asked."""
        _, name, *rest = request.url.path.split("/")
        provider, place = self.known[name], "/".join(rest)
        provider.seen.append(place)
        if place == ".well-known/openid-configuration":
            return JSONResponse(provider.described())
        if place == "jwks":
            keys = provider.published or [provider.key]
            return JSONResponse({"keys": [each.as_dict(private=False) for each in keys]})
        if place == "userinfo":
            return JSONResponse(provider.userinfo or {})
        if provider.answer is not None:
            answered: Response = await provider.answer(request)
            return answered
        return provider.redeem(dict(await request.form()), request.headers.get("authorization", ""))  # type: ignore[arg-type]


@asynccontextmanager
async def served(app: Starlette | FastAPI, port: int) -> AsyncIterator[None]:
    """Serve an application on loopback."""
    config = uvicorn.Config(
        app, port=port, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.01)
    yield
    server.should_exit = True
    await task


@asynccontextmanager
async def provider_server() -> AsyncIterator[Providers]:
    """Serve identity providers."""
    providers = Providers()
    async with served(
        Starlette(routes=[Route("/{rest:path}", providers.serve, methods=["GET", "POST"])]), providers.port
    ):
        yield providers


def terms(provider: Provider, **changed: Any) -> dict[str, Any]:
    """Return what a tenant says of a provider."""
    given = {"name": "Acme", "issuer": provider.issuer, "client_id": "regent", "client_secret": provider.secret}
    return {**given, **changed}


async def registered(tenant: Tenant, provider: Provider, **changed: Any) -> str:
    """Add a provider to a tenant; returns its id."""
    async with tenant.caller() as http:
        answer = await http.post("/v1/identity-providers", json=terms(provider, **changed))
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["id"]
    return found


async def sent(person: Browser, app: App, id_: str, **asked: str) -> str:
    """Follow a login page's link to a provider; returns where the browser is sent."""
    query = urlencode(app.request("v" * 50, **asked))
    answer = await person.http.get(f"/oauth2/upstream/{id_}", params={"request": query})
    assert answer.status_code == 303, answer.text
    location: str = answer.headers["location"]
    return location


async def linked(
    tenant: Tenant, provider: Provider, id_: str, subject: str, email: str | None = None
) -> httpx.Response:
    """Link somebody at a provider to a user of the tenant, as the user does it; returns the last page."""
    async with tenant.caller(email) as http:
        begun = await http.post("/v1/me/identities", json={"provider": id_, "password": "correct horse battery staple"})
        assert begun.status_code == 200, begun.text
        return await http.get(provider.log_in(begun.json()["location"], subject))


DOMAIN = "example.com"
JUST_IN_TIME = {"provisions": True, "domains": [DOMAIN], "roles": ["viewer"]}
"""Terms under which who is new becomes a member."""


async def attempt(app: App, provider: Provider, id_: str, subject: str, **claims: Any) -> httpx.Response:
    """Log in by a provider in a browser of its own; returns the last page."""
    async with browser(app.world) as person:
        return await person.http.get(provider.log_in(await sent(person, app, id_), subject, **claims))


def opened(answer: httpx.Response) -> bool:
    """Say whether an answer opens a session."""
    return "__Host-regent_session" in answer.headers.get("set-cookie", "")
