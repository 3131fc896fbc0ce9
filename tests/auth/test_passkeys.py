"""Passkeys as a second factor, from a software authenticator of the tests' own."""

import base64
import hashlib
import json
from typing import Any
from uuid import uuid4

import cbor2
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from tests.auth.world import PASSWORD, PUBLIC_URL, Tenant, World

SITE = PUBLIC_URL.removeprefix("https://")
PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def plain(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Authenticator:
    """One passkey on ES256: makes it, signs with it, counts."""

    def __init__(self, site: str = SITE, origin: str = PUBLIC_URL) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.id = uuid4().bytes
        self.count = 0
        self._site = site
        self._origin = origin

    def make(self, options: dict[str, Any]) -> dict[str, Any]:
        """Answer `navigator.credentials.create`, without attestation."""
        numbers = self._key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(cose)
        content = {"fmt": "none", "attStmt": {}, "authData": self._data(ATTESTED) + attested}
        client = self._client("webauthn.create", options)
        return self._answer({"attestationObject": plain(cbor2.dumps(content)), "clientDataJSON": plain(client)})

    def sign(self, options: dict[str, Any]) -> dict[str, Any]:
        """Answer `navigator.credentials.get`."""
        self.count += 1
        client, data = self._client("webauthn.get", options), self._data(0)
        signature = self._key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        given = {"authenticatorData": data, "clientDataJSON": client, "signature": signature}
        return self._answer({name: plain(value) for name, value in given.items()})

    def _data(self, flags: int) -> bytes:
        return hashlib.sha256(self._site.encode()).digest() + bytes([PRESENT | VERIFIED | flags]) + self._counter()

    def _counter(self) -> bytes:
        return self.count.to_bytes(4, "big")

    def _client(self, kind: str, options: dict[str, Any]) -> bytes:
        return json.dumps({"type": kind, "challenge": options["challenge"], "origin": self._origin}).encode()

    def _answer(self, response: dict[str, str]) -> dict[str, Any]:
        return {"id": plain(self.id), "rawId": plain(self.id), "type": "public-key", "response": response}


async def begun(http: httpx.AsyncClient) -> dict[str, Any]:
    answer = await http.post("/v1/me/factors/passkey", json={"password": PASSWORD})
    assert answer.status_code == 200, answer.text
    asked: dict[str, Any] = answer.json()
    return asked


async def finished(http: httpx.AsyncClient, token: str, credential: dict[str, Any]) -> httpx.Response:
    return await http.post("/v1/me/factors/passkey/finish", json={"token": token, "credential": credential})


async def registered(tenant: Tenant) -> Authenticator:
    key = Authenticator()
    async with tenant.caller() as http:
        asked = await begun(http)
        done = await finished(http, asked["token"], key.make(asked["options"]))
    assert done.status_code == 201, done.text
    assert len(done.json()["recovery_codes"]) == 10
    return key


async def asked_at_login(world: World, tenant: Tenant) -> tuple[str, dict[str, Any]]:
    """Show the password; returns the token of the second step and what the passkey has to sign."""
    async with world.client() as http:
        first = await http.post("/v1/login", json={"email": tenant.email, "password": PASSWORD})
        assert first.json()["methods"] == ["passkey", "recovery_code"]
        options = await http.post("/v1/login/second-factor/passkey/options", json={"token": first.json()["token"]})
    assert options.status_code == 200, options.text
    return first.json()["token"], options.json()


async def shown(world: World, token: str, credential: dict[str, Any]) -> httpx.Response:
    async with world.client() as http:
        body = {"token": token, "credential": credential}
        return await http.post("/v1/login/second-factor/passkey", json=body)


async def test_a_password_and_a_passkey_open(tenant: Tenant, world: World) -> None:
    """A registered passkey completes a login, again and again (S10)."""
    key = await registered(tenant)
    for _ in range(2):
        token, options = await asked_at_login(world, tenant)
        assert [one["id"] for one in options["allowCredentials"]] == [plain(key.id)]
        answer = await shown(world, token, key.sign(options))
        assert answer.status_code == 200, answer.text
        assert answer.json()["access_token"]


async def test_a_signature_is_for_one_login(tenant: Tenant, world: World) -> None:
    """What was signed for one login opens neither it again nor another."""
    key = await registered(tenant)
    token, options = await asked_at_login(world, tenant)
    signed = key.sign(options)
    other, _ = await asked_at_login(world, tenant)
    assert (await shown(world, other, signed)).status_code == 401
    assert (await shown(world, token, signed)).status_code == 200
    assert (await shown(world, token, signed)).status_code == 401


async def test_a_login_that_asked_for_no_signature_takes_none(tenant: Tenant, world: World) -> None:
    """Without a challenge of ours nothing that is signed counts."""
    key = await registered(tenant)
    async with world.client() as http:
        first = await http.post("/v1/login", json={"email": tenant.email, "password": PASSWORD})
    signed = key.sign({"challenge": plain(b"")})
    assert (await shown(world, first.json()["token"], signed)).status_code == 401


@pytest.mark.parametrize("spoil", ["origin", "site", "key", "counter", "nonsense"])
async def test_what_another_site_or_key_signed_does_not_open(tenant: Tenant, world: World, spoil: str) -> None:
    """The origin, the site, the key and the counter are all looked at."""
    key = await registered(tenant)
    if spoil == "counter":
        token, options = await asked_at_login(world, tenant)
        assert (await shown(world, token, key.sign(options))).status_code == 200
        key.count = 0
    other = Authenticator(
        site="evil.test" if spoil == "site" else SITE, origin="https://evil.test" if spoil == "origin" else PUBLIC_URL
    )
    other.id = key.id
    if spoil != "key":
        other._key = key._key
    token, options = await asked_at_login(world, tenant)
    signed = {"counter": key, "origin": other, "site": other, "key": other}.get(spoil, other).sign(options)
    refused = await shown(world, token, {"rawId": [1]} if spoil == "nonsense" else signed)
    assert (refused.status_code, refused.json()["type"]) == (401, "urn:regent:problem:wrong-code")


async def test_a_registration_answers_its_own_question(tenant: Tenant, world: World) -> None:
    """A foreign, expired or invented token registers nothing."""
    other = await world.tenant()
    async with tenant.caller() as http, other.caller() as theirs:
        asked, foreign = await begun(http), await begun(theirs)
        nonce, _, expires = asked["token"].partition(".")
        tokens = (foreign["token"], f"{nonce}.1", f"{nonce}.{int(expires) + 9}", "x")
        answers = [await finished(http, token, Authenticator().make(asked["options"])) for token in tokens]
        assert [answer.status_code for answer in answers] == [422] * 4
        assert (await http.get("/v1/me/factors")).json()["items"] == []


async def test_a_passkey_is_registered_once(tenant: Tenant) -> None:
    """The same passkey cannot be added again."""
    key = Authenticator()
    async with tenant.caller() as http:
        first = await begun(http)
        assert (await finished(http, first["token"], key.make(first["options"]))).status_code == 201
        again = await begun(http)
        assert [one["id"] for one in again["options"]["excludeCredentials"]] == [plain(key.id)]
        assert (await finished(http, again["token"], key.make(again["options"]))).status_code == 409
