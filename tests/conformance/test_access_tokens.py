"""What a service behind the gateway takes for an access token (RFC 9068, RFC 8725, RFC 6750): all else is 401."""

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from joserfc.jwk import ECKey

from tests.conformance.answers import refused
from tests.conformance.server import API, Server
from tests.conformance.tokens import Forge, part

OTHER = ECKey.generate_key("P-256", private=True)
PUBLIC = OTHER.as_dict(private=False)
Forged = Callable[[Forge], str]


async def test_a_sound_token_is_taken(server: Server, caller: httpx.AsyncClient) -> None:
    """Without this, the refusals would prove nothing."""
    answer = await caller.get(API, headers={"Authorization": f"Bearer {server.forge.token()}"})
    assert answer.status_code == 200, answer.text


NAMES = ("iss", "aud", "exp", "nbf", "iat", "jti", "sub", "tenant_id", "gid", "scope")


@pytest.mark.parametrize("name", NAMES)
async def test_every_claim_is_needed(server: Server, caller: httpx.AsyncClient, name: str) -> None:
    """A signed token that lacks a claim is refused."""
    await refused(caller, {"Authorization": f"Bearer {server.forge.token(**{name: None})}"})


def now() -> int:
    return int(time.time())


WRONG: dict[str, Callable[[Forge], dict[str, Any]]] = {
    "iss of somebody else": lambda _: {"iss": "https://evil.example"},
    "iss with a slash": lambda forge: {"iss": f"{forge.issuer}/"},
    "iss in capitals": lambda forge: {"iss": forge.issuer.upper()},
    "iss as a list": lambda forge: {"iss": [forge.issuer]},
    "iss that begins right": lambda forge: {"iss": f"{forge.issuer}.evil.example"},
    "aud of somebody else": lambda _: {"aud": "other"},
    "aud empty": lambda _: {"aud": ""},
    "aud an empty list": lambda _: {"aud": []},
    "aud a list that holds another": lambda _: {"aud": ["regent", "other"]},
    "aud a number": lambda _: {"aud": 1},
    "aud a client": lambda _: {"aud": str(uuid4())},
    "aud another collection": lambda forge: {"aud": f"{forge.issuer}/v1/runs"},
    "aud that begins right": lambda forge: {"aud": f"{forge.issuer}/v1/report"},
    "exp past": lambda _: {"exp": now() - 10, "iat": now() - 200, "nbf": now() - 200},
    "exp now": lambda _: {"exp": now(), "iat": now() - 200, "nbf": now() - 200},
    "exp a text": lambda _: {"exp": str(now() + 300)},
    "exp a fraction": lambda _: {"exp": now() + 100.5},
    "exp true": lambda _: {"exp": True},
    "exp far away": lambda _: {"exp": now() + 3600},
    "exp huge": lambda _: {"exp": 2**62},
    "exp negative": lambda _: {"exp": -1},
    "nbf to come": lambda _: {"nbf": now() + 120},
    "nbf a text": lambda _: {"nbf": "0"},
    "iat to come": lambda _: {"iat": now() + 120, "exp": now() + 300},
    "iat a text": lambda _: {"iat": "0"},
    "iat long ago": lambda _: {"iat": now() - 86400},
    "jti empty": lambda _: {"jti": ""},
    "sub empty": lambda _: {"sub": ""},
    "sub of no kind": lambda _: {"sub": str(uuid4())},
    "sub a service": lambda _: {"sub": "service:auth"},
    "sub a number": lambda _: {"sub": 1},
    "sub a list": lambda _: {"sub": ["user:1"]},
    "tenant no id": lambda _: {"tenant_id": "x' OR '1'='1"},
    "tenant a list": lambda _: {"tenant_id": [str(uuid4())]},
    "tenant empty": lambda _: {"tenant_id": ""},
    "grant no id": lambda _: {"gid": "*"},
    "scope a number": lambda _: {"scope": 1},
    "cnf not understood": lambda _: {"cnf": {"x5t#S256": "A" * 43}},
    "cnf empty": lambda _: {"cnf": {}},
    "cnf a text": lambda _: {"cnf": "jkt"},
    "bound to a key": lambda _: {"cnf": {"jkt": "A" * 43}},
}


@pytest.mark.parametrize("name", WRONG)
async def test_every_claim_has_to_be_right(server: Server, caller: httpx.AsyncClient, name: str) -> None:
    """A signed token with one wrong claim is refused."""
    await refused(caller, {"Authorization": f"Bearer {server.forge.token(**WRONG[name](server.forge))}"})


async def test_a_type_may_be_written_out(server: Server, caller: httpx.AsyncClient) -> None:
    """RFC 9068, 4: `at+jwt` or `application/at+jwt`."""
    token = server.forge.token({"typ": "application/at+jwt"})
    assert (await caller.get(API, headers={"Authorization": f"Bearer {token}"})).status_code == 200


HEADERS: dict[str, dict[str, Any]] = {
    "typ missing": {"typ": None},
    "typ JWT": {"typ": "JWT"},
    "typ of an ID token": {"typ": "id+jwt"},
    "typ of a logout token": {"typ": "logout+jwt"},
    "typ of a proof": {"typ": "dpop+jwt"},
    "typ a list": {"typ": ["at+jwt"]},
    "kid missing": {"kid": None},
    "kid unknown": {"kid": "unknown"},
    "kid empty": {"kid": ""},
    "kid a path": {"kid": "../../../../dev/null"},
    "kid a URL": {"kid": "https://evil.example/jwks.json"},
    "kid SQL": {"kid": "x' UNION SELECT 'secret' --"},
    "kid a command": {"kid": "|/bin/true"},
    "kid with a null": {"kid": "a\x00b"},
    "kid a number": {"kid": 1},
    "kid a list": {"kid": ["a"]},
    "kid an object": {"kid": {"a": 1}},
    "kid long": {"kid": "k" * 5000},
    "crit unknown": {"crit": ["exp"], "exp": 1},
    "crit empty": {"crit": []},
    "crit b64": {"crit": ["b64"], "b64": False},
    "b64 false": {"b64": False},
    "jku": {"jku": "https://evil.example/jwks.json"},
    "x5u": {"x5u": "https://evil.example/cert.pem"},
    "jwk": {"jwk": PUBLIC},
    "x5c": {"x5c": ["MIIB"]},
    "x5t": {"x5t": "A" * 27},
    "zip": {"zip": "DEF"},
    "cty": {"cty": "JWT"},
    "unknown parameter": {"nonsense": 1},
    "alg ES384": {"alg": "ES384"},
    "alg RS256": {"alg": "RS256"},
    "alg in small letters": {"alg": "es256"},
    "alg missing": {"alg": None},
    "alg a list": {"alg": ["ES256"]},
}


@pytest.mark.parametrize("name", HEADERS)
async def test_a_header_says_what_it_may_and_no_more(server: Server, caller: httpx.AsyncClient, name: str) -> None:
    """A token signed by a trusted key, with another header, is refused."""
    await refused(caller, {"Authorization": f"Bearer {server.forge.token(HEADERS[name])}"})


def _of_other(**header: Any) -> Forged:
    return lambda forge: forge.signed(forge.header(**header), forge.claims(), OTHER)


def _changed(position: int, value: Callable[[str], str]) -> Forged:
    def change(forge: Forge) -> str:
        parts = forge.token().split(".")
        parts[position] = value(parts[position])
        return ".".join(parts)

    return change


def _claims_of_another(forge: Forge) -> str:
    head, _, signature = forge.token().split(".")
    return f"{head}.{part(forge.claims(scope='report:*'))}.{signature}"


FOREIGN: dict[str, Forged] = {
    "a foreign key under a known kid": _of_other(),
    "a foreign key that the token brings (jwk)": _of_other(jwk=PUBLIC),
    "a foreign key that the token brings, without kid": _of_other(jwk=PUBLIC, kid=None),
    "a foreign key that the token points to (jku)": _of_other(jku="https://evil.example/jwks.json"),
    "other claims under a signature": _claims_of_another,
    "no signature": _changed(2, lambda _: ""),
    "a signature of zeros": _changed(2, lambda _: part(bytes(64))),
    "a signature cut short": _changed(2, lambda text: text[:40]),
    "a signature that is longer": _changed(2, lambda text: text + "AAAA"),
    "a signature in DER": _changed(2, lambda _: part(bytes.fromhex("3006020101020101"))),
    "claims that are no JSON": lambda forge: forge.signed(forge.header(), b"{", forge.key),
    "claims that are a list": lambda forge: forge.signed(forge.header(), [], forge.key),
    "claims that are a text": lambda forge: forge.signed(forge.header(), "x", forge.key),
    "no claims": lambda forge: forge.signed(forge.header(), b"", forge.key),
    "a header that is no JSON": _changed(0, lambda _: part(b"{")),
    "a header that is a list": _changed(0, lambda _: part([])),
    "four parts": lambda forge: forge.token() + ".x",
    "two parts": lambda forge: forge.token().rpartition(".")[0],
    "five parts, as if encrypted": lambda forge: forge.token() + ".x.y",
    "padding": lambda forge: forge.token() + "=",
    "a JSON serialization": lambda forge: orjson.dumps(
        dict(zip(("protected", "payload", "signature"), forge.token().split("."), strict=True))
    ).decode(),
    "nothing but dots": lambda _: "..",
    "a nested token": lambda forge: forge.signed(forge.header(cty="JWT"), forge.token().encode(), forge.key),
    "a duplicate claim": lambda forge: forge.signed(
        forge.header(), orjson.dumps(forge.claims())[:-1] + b',"exp":1}', forge.key
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
async def test_what_the_issuer_did_not_sign_is_refused(server: Server, caller: httpx.AsyncClient, name: str) -> None:
    """Foreign, altered, cut or misshapen tokens are refused."""
    await refused(caller, {"Authorization": f"Bearer {FOREIGN[name](server.forge)}"})


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", " none", "none ", "no\u006ee\u0000"])
@pytest.mark.parametrize("signature", ["", "AA"])
async def test_none_is_no_algorithm(server: Server, caller: httpx.AsyncClient, alg: str, signature: str) -> None:
    """However it is written, and whether something stands for a signature or not."""
    forge = server.forge
    token = f"{part(forge.header(alg=alg))}.{part(forge.claims())}.{signature}"
    await refused(caller, {"Authorization": f"Bearer {token}"})


PUBLIC_DATA: dict[str, Callable[[dict[str, Any], Forge], bytes]] = {
    "the key in PEM": lambda _, forge: forge.key.as_pem(private=False),
    "the key in DER": lambda _, forge: forge.key.as_der(private=False),
    "the JWK": lambda jwk, _: orjson.dumps(jwk),
    "x": lambda jwk, _: jwk["x"].encode(),
    "x and y": lambda jwk, _: (jwk["x"] + jwk["y"]).encode(),
    "kid": lambda jwk, _: jwk["kid"].encode(),
    "issuer": lambda _, forge: forge.issuer.encode(),
    "thumbprint": lambda _, forge: forge.key.thumbprint().encode(),
    "nothing": lambda *_: b"",
    "a usual secret": lambda *_: b"secret",
}


@pytest.mark.parametrize("name", PUBLIC_DATA)
@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
async def test_no_mac_made_of_public_data_is_a_signature(
    server: Server, caller: httpx.AsyncClient, name: str, algorithm: str
) -> None:
    """The algorithm is the issuer's, not the token's (RFC 8725, 3.1)."""
    jwk = server.forge.key.as_dict(private=False)
    token = server.forge.hashed(PUBLIC_DATA[name](jwk, server.forge), algorithm)
    await refused(caller, {"Authorization": f"Bearer {token}"})
