"""A provider's ID token that says or is signed otherwise than it should proves nothing."""

import base64
import hmac
import secrets
from typing import Any

import orjson
import pytest
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from tests.auth.idp import Forge, Provider, Providers, key, registered, signed
from tests.auth.stage import Stage, refused, staged
from tests.auth.world import Tenant

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
