"""What a hostile provider, a hostile browser or a stranger in between gets: nothing, and a plain page."""

import asyncio
import base64
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import orjson
import pytest
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey
from starlette.requests import Request
from starlette.responses import Response

from libs.common.context import Context
from tests.auth.browsing import App, Browser, browser, register
from tests.auth.idp import Forge, Provider, Providers, key, linked, registered, sent, signed
from tests.auth.world import PASSWORD, Tenant, World


@dataclass(slots=True)
class Stage:
    """A tenant with an app, and a provider whose `alice` is linked to the owner."""

    app: App
    provider: Provider
    id: str

    @property
    def world(self) -> World:
        return self.app.world

    async def attempt(self, subject: str = "alice", **claims: Any) -> httpx.Response:
        """Log in by the provider in a browser of its own; returns the last page."""
        async with browser(self.world) as person:
            return await self.by(person, subject, **claims)

    async def by(self, person: Browser, subject: str = "alice", **claims: Any) -> httpx.Response:
        """Log in by the provider in a browser."""
        return await person.http.get(self.provider.log_in(await sent(person, self.app, self.id), subject, **claims))


async def staged(tenant: Tenant, provider: Provider) -> Stage:
    """Return a stage on which an honest login works."""
    app = await register(tenant)
    id_ = await registered(tenant, provider)
    assert (await linked(tenant, provider, id_, "alice")).status_code == 200
    return Stage(app, provider, id_)


@pytest.fixture(scope="module")
async def built(world: World, idps: Providers) -> Stage:
    """Return the stage of all these tests."""
    return await staged(await world.tenant(), idps.new())


@pytest.fixture
def stage(built: Stage) -> Stage:
    """Return the stage with an honest provider again."""
    built.provider.forge, built.provider.answer, built.provider.published = signed, None, None
    return built


def refused(answer: httpx.Response, *held_back: str) -> bool:
    """Say whether a page refuses, opens no session, and shows none of the texts."""
    session = "__Host-regent_session" in answer.headers.get("set-cookie", "")
    shown = any(text in answer.text for text in held_back)
    return answer.status_code in (403, 503) and not session and not shown and "<h1>" in answer.text


async def test_the_stage_is_honest(stage: Stage) -> None:
    """Without a lie the login works: what follows fails for its lie alone."""
    answer = await stage.attempt()
    assert (answer.status_code, "Allow" in answer.text) == (200, True), answer.text


LIES: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"iss": "https://evil.example"}, "iss"),
    "another audience": ({"aud": "somebody-else"}, "aud"),
    "an audience more without azp": ({"aud": ["regent", "somebody-else"]}, "azp"),
    "another azp": ({"azp": "somebody-else"}, "azp"),
    "another nonce": ({"nonce": "n" * 43}, "nonce"),
    "no nonce": ({"nonce": None}, "nonce"),
    "expired": ({"exp": 1_700_000_000}, "exp"),
    "no exp": ({"exp": None}, "exp"),
    "exp as text": ({"exp": "4000000000"}, "exp"),
    "issued long ago": ({"iat": 1_700_000_000}, "iat"),
    "issued in the future": ({"iat": 4_000_000_000}, "iat"),
    "not yet valid": ({"nbf": 4_000_000_000}, "nbf"),
    "another access token's hash": ({"at_hash": "x" * 22}, "at_hash"),
    "no subject": ({"sub": None}, "sub"),
    "an endless subject": ({"sub": "a" * 256}, "sub"),
}


@pytest.mark.parametrize(("lie", "check"), LIES.values(), ids=LIES.keys())
async def test_each_claim_is_checked(
    stage: Stage, lie: dict[str, Any], check: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """S10: one wrong claim and the ID token proves nothing."""

    def forge(provider: Provider, claims: dict[str, Any]) -> str:
        return signed(provider, {name: value for name, value in {**claims, **lie}.items() if value is not None})

    stage.provider.forge = forge
    assert refused(await stage.attempt())
    assert f"reason={check} " in capsys.readouterr().out


def _unsigned(_provider: Provider, claims: dict[str, Any]) -> str:
    parts = [base64.urlsafe_b64encode(orjson.dumps(each)).rstrip(b"=").decode() for each in ({"alg": "none"}, claims)]
    return ".".join([*parts, ""])


def _by_secret(secret: bytes, header: dict[str, str], claims: dict[str, Any]) -> str:
    parts = [base64.urlsafe_b64encode(orjson.dumps(each)).rstrip(b"=") for each in ({"alg": "HS256", **header}, claims)]
    seal = hmac.digest(secret, b".".join(parts), "sha256")
    return b".".join([*parts, base64.urlsafe_b64encode(seal).rstrip(b"=")]).decode()


def _by_public_key(provider: Provider, claims: dict[str, Any]) -> str:
    return _by_secret(provider.key.as_pem(private=False), {"kid": "k1"}, claims)


def _by_client_secret(provider: Provider, claims: dict[str, Any]) -> str:
    return _by_secret(provider.secret.encode(), {}, claims)


def _by_foreign_key(_provider: Provider, claims: dict[str, Any]) -> str:
    header = {"alg": "ES256", "kid": "k1"}
    return jws.serialize_compact(header, orjson.dumps(claims), key("k1"), algorithms=["ES256"])


def _by_key_in_header(_provider: Provider, claims: dict[str, Any]) -> str:
    own = key("k1")
    header = {"alg": "ES256", "kid": "k1", "jwk": own.as_dict(private=False)}
    return jws.serialize_compact(header, orjson.dumps(claims), own, algorithms=["ES256"])


def _by_unannounced_algorithm(provider: Provider, claims: dict[str, Any]) -> str:
    own = ECKey.generate_key("P-384", {"kid": "k3"})
    provider.published = [own]
    return jws.serialize_compact({"alg": "ES384", "kid": "k3"}, orjson.dumps(claims), own, algorithms=["ES384"])


def _by_short_rsa(provider: Provider, claims: dict[str, Any]) -> str:
    own = RSAKey.generate_key(1024, {"kid": "k4"})
    provider.published = [own]
    return jws.serialize_compact({"alg": "RS256", "kid": "k4"}, orjson.dumps(claims), own, algorithms=["RS256"])


def _altered(provider: Provider, claims: dict[str, Any]) -> str:
    head, _, seal = signed(provider, claims).split(".")
    body = base64.urlsafe_b64encode(orjson.dumps({**claims, "sub": "mallory"})).rstrip(b"=").decode()
    return f"{head}.{body}.{seal}"


FORGERIES: dict[str, tuple[Forge, str]] = {
    "none": (_unsigned, "alg"),
    "HS256 by the public key": (_by_public_key, "alg"),
    "HS256 by the client's secret": (_by_client_secret, "alg"),
    "a foreign key of the same id": (_by_foreign_key, "signature"),
    "a key in the header": (_by_key_in_header, "header"),
    "an algorithm that was not announced": (_by_unannounced_algorithm, "alg"),
    "a short RSA key": (_by_short_rsa, "key"),
    "altered": (_altered, "signature"),
    "no token": (lambda _provider, _claims: "x.y.z", "form"),
}


@pytest.mark.filterwarnings("ignore:Key size should be")
@pytest.mark.parametrize(("forge", "check"), FORGERIES.values(), ids=FORGERIES.keys())
async def test_only_the_providers_key_signs(
    built: Stage, idps: Providers, forge: Forge, check: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """S10: alg none, a shared secret, a foreign, embedded or weak key prove nothing."""
    provider = idps.new()
    provider.key, provider.forge = built.provider.key, forge
    id_ = await registered(built.app.tenant, provider, name=provider.issuer[-12:])
    assert refused(await Stage(built.app, provider, id_).attempt())
    assert f"reason={check} " in capsys.readouterr().out


async def test_a_callback_works_once(stage: Stage) -> None:
    """Whoever replays the way back, in the same browser even, logs nobody in."""
    async with browser(stage.world) as person:
        way = stage.provider.log_in(await sent(person, stage.app, stage.id), "alice")
        assert (await person.http.get(way)).status_code == 200
        again = await person.http.get(way)
    assert refused(again, dict(parse_qsl(urlsplit(way).query))["code"])


async def test_a_state_belongs_to_its_browser(stage: Stage) -> None:
    """S10: an attacker's finished login does not work in a victim's browser, and the try takes nothing from its owner."""
    async with browser(stage.world) as attacker, browser(stage.world) as victim:
        way = stage.provider.log_in(await sent(attacker, stage.app, stage.id), "alice")
        await sent(victim, stage.app, stage.id)
        assert refused(await victim.http.get(way))
        assert (await attacker.http.get(way)).status_code == 200


async def test_a_state_without_a_cookie_is_worth_nothing(stage: Stage) -> None:
    """A browser that began nothing ends nothing."""
    async with browser(stage.world) as person, browser(stage.world) as stranger:
        way = stage.provider.log_in(await sent(person, stage.app, stage.id), "alice")
        assert refused(await stranger.http.get(way))


async def test_a_stolen_code_is_not_redeemed_elsewhere(stage: Stage) -> None:
    """S10: a code that was given for one browser's challenge and nonce does not work with another's state."""
    async with browser(stage.world) as victim, browser(stage.world) as attacker:
        stolen = dict(
            parse_qsl(urlsplit(stage.provider.log_in(await sent(victim, stage.app, stage.id), "alice")).query)
        )
        own = dict(parse_qsl(urlsplit(await sent(attacker, stage.app, stage.id)).query))
        assert refused(await attacker.http.get(stage.provider.back(own, code=stolen["code"])))


async def test_an_answer_of_another_issuer_is_a_mix_up(stage: Stage, idps: Providers) -> None:
    """RFC 9207: where the answer names another issuer, or none although announced, no code is sent anywhere."""
    asked = stage.provider.seen.count("token")
    for issuer in ({"iss": idps.new().issuer}, {"iss": ""}):
        async with browser(stage.world) as person:
            way = stage.provider.log_in(await sent(person, stage.app, stage.id), "alice")
            uri = urlsplit(way)
            answer = {**dict(parse_qsl(uri.query)), **issuer}
            kept = urlencode({name: value for name, value in answer.items() if value})
            assert refused(await person.http.get(f"{uri.path}?{kept}"))
    assert stage.provider.seen.count("token") == asked


async def test_a_state_belongs_to_its_provider(stage: Stage, idps: Providers) -> None:
    """An answer at another provider's address of return is refused: no provider finishes what another began."""
    other = await registered(stage.app.tenant, idps.new(), name="Other")
    async with browser(stage.world) as person:
        way = stage.provider.log_in(await sent(person, stage.app, stage.id), "alice")
        assert refused(await person.http.get(way.replace(stage.id, other)))


async def test_a_repeated_parameter_is_refused(stage: Stage) -> None:
    """Two states, or two codes, are none."""
    async with browser(stage.world) as person:
        way = stage.provider.log_in(await sent(person, stage.app, stage.id), "alice")
        assert refused(await person.http.get(f"{way}&code=x"))


async def test_an_error_of_the_provider_is_a_plain_page(stage: Stage) -> None:
    """What the provider says in its error is not repeated to the person."""
    async with browser(stage.world) as person:
        asked = dict(parse_qsl(urlsplit(await sent(person, stage.app, stage.id)).query))
        way = stage.provider.back(asked, error="access_denied", error_description="<b>call 0900-1234</b>")
        assert refused(await person.http.get(way), "0900-1234")


async def test_a_trip_ends_after_ten_minutes(stage: Stage) -> None:
    """Who comes back late starts again."""
    async with browser(stage.world) as person:
        way = stage.provider.log_in(await sent(person, stage.app, stage.id), "alice")
        async with stage.world.runtime.database.transaction(Context(stage.app.tenant.id, "user:test")) as tx:
            await tx.connection.execute("UPDATE upstream_trip SET expires_at = expires_at - interval '10 minutes'")
        assert refused(await person.http.get(way))


async def test_keys_rotate_without_a_failed_login(tenant: Tenant, idps: Providers) -> None:
    """A key id that is not known yet sends us to the provider's keys once; then not again for a while."""
    stage = await staged(tenant, idps.new())
    assert (await stage.attempt()).status_code == 200
    stage.provider.key = key("k2")
    assert (await stage.attempt()).status_code == 200
    asked = stage.provider.seen.count("jwks")
    stage.provider.forge = _by_unknown_key
    assert [refused(await stage.attempt()) for _ in range(3)] == [True] * 3
    assert stage.provider.seen.count("jwks") == asked


def _by_unknown_key(_provider: Provider, claims: dict[str, Any]) -> str:
    header = {"alg": "ES256", "kid": secrets.token_hex(4)}
    return jws.serialize_compact(header, orjson.dumps(claims), key("x"), algorithms=["ES256"])


async def test_a_provider_that_hangs_is_left(stage: Stage) -> None:
    """S9: after the time that is allowed for one answer the person gets a page; nothing else waits."""

    async def never(_request: Request) -> Response:
        await asyncio.sleep(120)
        return Response()

    stage.provider.answer = never
    began = asyncio.get_running_loop().time()
    answer = await stage.attempt()
    assert refused(answer)
    assert (answer.status_code, "did not answer" in answer.text) == (503, True)
    assert asyncio.get_running_loop().time() - began < 60


async def test_an_endless_answer_is_cut_off(stage: Stage) -> None:
    """S9: ten megabytes are not read to their end."""

    async def endless(_request: Request) -> Response:
        return Response(json.dumps({"id_token": "x" * 10_000_000}), media_type="application/json")

    stage.provider.answer = endless
    answer = await stage.attempt()
    assert refused(answer)
    assert "256 KiB" in answer.text


async def test_a_redirect_is_not_followed(stage: Stage, idps: Providers) -> None:
    """S9: a token endpoint that points elsewhere gets no second request there."""
    elsewhere = idps.new()

    async def moved(_request: Request) -> Response:
        return Response("{}", 307, {"Location": f"{elsewhere.issuer}/token"})

    stage.provider.answer = moved
    assert refused(await stage.attempt())
    assert elsewhere.seen == []


async def test_nothing_secret_is_logged(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """S10: no code, state, nonce, secret or token of a login, good or bad, stands in a log line."""
    made: list[str] = []

    def forge(provider: Provider, claims: dict[str, Any]) -> str:
        made.append(signed(provider, {**claims, "aud": "x"}))
        return made[-1]

    stage.provider.forge = forge
    async with browser(stage.world) as person:
        location = await sent(person, stage.app, stage.id)
        way = stage.provider.log_in(location, "alice")
        await person.http.get(way)
        asked = dict(parse_qsl(urlsplit(location).query))
        secrets_ = [
            asked["state"],
            asked["nonce"],
            person.http.cookies["__Host-regent_upstream"],
            stage.provider.secret,
        ]
    out = "".join(capsys.readouterr())
    assert "upstream.refused" in out
    code = dict(parse_qsl(urlsplit(way).query))["code"]
    assert [text for text in (*secrets_, code, *made, PASSWORD) if text in out] == []
