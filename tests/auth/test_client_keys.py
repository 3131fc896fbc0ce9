"""Clients that publish their keys at a URL (`jwks_uri`): fetched with care, turned without a refused request (S11)."""

import asyncio
import base64
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey

from libs.common.outbound import OutboundPolicy
from services.auth.client_keys import ClientKeys, published
from services.auth.upstream.web import Web
from tests.auth.browsing import App, register
from tests.auth.test_par import KIND
from tests.auth.world import PUBLIC_URL, Tenant, World

pytestmark = pytest.mark.filterwarnings("ignore:Key size")  # joserfc warns of what is refused here
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass(slots=True)
class Publisher:
    """A client's web server: what it says, and how often it was asked."""

    port: int = 0
    content: Any = None
    status: str = "200 OK"
    asked: int = 0
    keys: list[ECKey] = field(default_factory=list)

    @property
    def uri(self) -> str:
        return f"https://127.0.0.1:{self.port}/jwks.json"

    def publish(self, *kids: str) -> None:
        """Publish keys of these ids and keep their private parts."""
        self.keys = [ECKey.generate_key("P-256", {"kid": kid}, private=True) for kid in kids]
        self.content = {"keys": [key.as_dict(private=False) for key in self.keys]}

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            body = orjson.dumps(self.content)
            writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()


def certificate(folder: Path) -> Path:
    """Make a certificate for this machine."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    today = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    file = folder / "client.pem"
    file.write_bytes(key.private_bytes(*reversed(plain)) + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[tuple[Publisher, ssl.SSLContext]]:
    """Yield a client's web server, and the trust that it needs."""
    file = certificate(tmp_path)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(file)
    publisher = Publisher()
    server = await asyncio.start_server(publisher.answer, "127.0.0.1", 0, ssl=served)
    publisher.port = server.sockets[0].getsockname()[1]
    yield publisher, ssl.create_default_context(cafile=str(file))
    server.close()


@pytest.fixture
def publisher(place: tuple[Publisher, ssl.SSLContext]) -> Publisher:
    """Return the web server alone."""
    return place[0]


@pytest.fixture
def keys(place: tuple[Publisher, ssl.SSLContext]) -> ClientKeys:
    """Return what fetches from it, as an operator who allows its address does."""
    policy = OutboundPolicy.read(f"127.0.0.1:{place[0].port}")
    return ClientKeys(published(Web(policy, 2, tls=place[1])))


@pytest.fixture
async def app(tenant: Tenant, world: World, keys: ClientKeys, publisher: Publisher) -> AsyncIterator[App]:
    """Yield a client of the service that publishes its keys there."""
    publisher.publish("one")
    before, world.runtime.extras["client_keys"] = world.runtime.extras["client_keys"], keys
    grants = {"grant_types": ["client_credentials"], "redirect_uris": [], "scopes": None, "roles": ["viewer"]}
    yield await register(tenant, jwks_uri=publisher.uri, **grants)
    world.runtime.extras["client_keys"] = before


async def enter(app: App, key: ECKey) -> httpx.Response:
    now = int(time.time())
    claims = {"iss": app.id, "sub": app.id, "aud": PUBLIC_URL, "jti": str(uuid4()), "iat": now, "exp": now + 60}
    text = jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key, algorithms=["ES256"])
    data = {"grant_type": "client_credentials", "client_assertion_type": KIND, "client_assertion": text}
    async with app.world.client() as http:
        return await http.post("/oauth2/token", data=data)


async def test_a_client_enters_by_a_key_that_it_publishes(app: App, publisher: Publisher) -> None:
    """It has no secret; its keys are fetched once for many requests."""
    assert app.secret is None
    assert [(await enter(app, publisher.keys[0])).status_code for _ in range(3)] == [200] * 3
    assert publisher.asked == 1


async def test_a_client_turns_its_key_without_a_refused_request(app: App, publisher: Publisher) -> None:
    """A key that is new here is fetched at its first use, though the others are kept for minutes."""
    old = publisher.keys[0]
    assert (await enter(app, old)).status_code == 200
    publisher.publish("two")
    assert (await enter(app, publisher.keys[0])).status_code == 200
    refused = await enter(app, old)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


async def test_another_key_under_a_known_id_does_not_enter(app: App, publisher: Publisher) -> None:
    """What counts is the signature."""
    forged = ECKey.generate_key("P-256", {"kid": "one"}, private=True)
    assert (await enter(app, forged)).status_code == 401


async def test_unknown_keys_do_not_make_us_ask_again_and_again(publisher: Publisher, keys: ClientKeys) -> None:
    """One look for what is not there, then none for ten seconds."""
    publisher.publish("one")
    for number in range(20):
        assert await keys.of(publisher.uri, f"unknown-{number}", NOW) is not None
    assert publisher.asked == 2
    await keys.of(publisher.uri, "unknown", NOW + timedelta(seconds=11))
    assert publisher.asked == 3


async def test_a_place_that_is_down_is_believed_for_an_hour(publisher: Publisher, keys: ClientKeys) -> None:
    """What it said last goes on, and it is not asked at every request."""
    publisher.publish("one")
    await keys.of(publisher.uri, "one", NOW)
    publisher.status = "500 Oops"
    for minutes, known in ((11, True), (11, True), (59, True), (61, False)):
        assert (await keys.of(publisher.uri, "one", NOW + timedelta(minutes=minutes)) is not None) == known
    assert publisher.asked == 4


PRIVATE = ECKey.generate_key("P-256", {"kid": "one"}, private=True).as_dict(private=True)
WEAK = {"kty": "RSA", "n": base64.urlsafe_b64encode(b"\xc1" * 128).decode().rstrip("="), "e": "AQAB"}
BAD = {
    "private": {"keys": [PRIVATE]},
    "symmetric": {"keys": [{"kty": "oct", "k": "AAAA"}]},
    "weak": {"keys": [WEAK]},
    "many": {"keys": [ECKey.generate_key("P-256").as_dict(private=False)] * 51},
    "empty": {"keys": []},
    "no keys": {},
    "a list": [],
    "huge": {"keys": [], "x": "x" * 300_000},
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
async def test_what_is_no_key_set_is_none(publisher: Publisher, keys: ClientKeys, content: Any) -> None:
    """Private, symmetric, weak, too many, too large: nothing of it is used."""
    publisher.content = content
    assert await keys.of(publisher.uri, None, NOW) is None


async def test_no_private_address_is_asked(place: tuple[Publisher, ssl.SSLContext]) -> None:
    """Unless the operator allows it by host and port, this machine and its network are out of reach."""
    publisher, trust = place
    publisher.publish("one")
    careful = ClientKeys(published(Web(OutboundPolicy(), 2, tls=trust)))
    for host in ("127.0.0.1", "localhost", "[::1]", "0x7f000001", "169.254.169.254", "10.0.0.1"):
        assert await careful.of(f"https://{host}:{publisher.port}/jwks.json", None, NOW) is None
    assert publisher.asked == 0


async def test_an_untrusted_place_is_none(publisher: Publisher) -> None:
    """The certificate counts."""
    publisher.publish("one")
    allowed = OutboundPolicy.read(f"127.0.0.1:{publisher.port}")
    assert await ClientKeys(published(Web(allowed, 2))).of(publisher.uri, None, NOW) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"jwks_uri": "http://client.example/jwks"},
        {"jwks_uri": "https://user@client.example/jwks"},
        {"jwks_uri": "https://client.example/jwks#x"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "https://client.example/jwks", "jwks": {"keys": [{**PRIVATE, "d": None}]}},
        {"jwks_uri": "https://client.example/jwks", "kind": "public"},
    ],
)
async def test_what_cannot_be_fetched_is_not_registered(tenant: Tenant, changed: dict[str, Any]) -> None:
    """Only https, without user or fragment, instead of keys, for clients that authenticate."""
    body = {"name": "x", "roles": [], "grant_types": ["authorization_code"], "redirect_uris": ["https://c.example/"]}
    async with tenant.caller() as http:
        answer = await http.post("/v1/clients", json={**body, "scopes": ["run:read"], **changed})
    assert answer.status_code == 422


async def test_a_client_moves_from_keys_to_their_place_and_back(app: App, publisher: Publisher) -> None:
    """Who gives one of both means it alone."""
    inline = {"keys": [publisher.keys[0].as_dict(private=False)]}
    async with app.tenant.caller() as http:
        for revision, changed in enumerate(({"jwks": inline}, {"jwks_uri": publisher.uri}), 1):
            body = {"name": "x", "roles": ["viewer"], **changed}
            answer = await http.put(f"/v1/clients/{app.id}", json=body, headers={"If-Match": f'"{revision}"'})
            assert answer.status_code == 200, answer.text
            assert (answer.json()["jwks"] is None, answer.json()["jwks_uri"] is None) == (
                "jwks" not in changed,
                "jwks_uri" not in changed,
            )
            assert (await enter(app, publisher.keys[0])).status_code == 200
