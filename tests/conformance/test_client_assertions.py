"""How clients with a key prove who they are (RFC 7521, RFC 7523, RFC 8725): by a sound assertion, once."""

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import orjson
import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.conformance.answers import bad
from tests.conformance.assertions import KEY, KIND, OTHER, assertion, claims, present
from tests.conformance.server import CLIENT, App, Person
from tests.conformance.tokens import part


async def test_a_sound_assertion_is_taken(signer: App) -> None:
    """With or without the name beside it, an audience as a list, and the type of rfc7523bis."""
    assert (await present(signer, assertion(signer))).status_code == 200
    assert (await present(signer, assertion(signer), client_id=signer.id)).status_code == 200
    assert (await present(signer, assertion(signer, aud=[signer.server.url]))).status_code == 200
    assert (await present(signer, assertion(signer, {"typ": "client-authentication+jwt"}))).status_code == 200
    assert (await present(signer, assertion(signer, {"typ": None, "kid": None}))).status_code == 200


def moment(seconds: int) -> int:
    return int(time.time()) + seconds


CLAIMS: dict[str, Callable[[App], dict[str, Any]]] = {
    "no iss": lambda _: {"iss": None},
    "no sub": lambda _: {"sub": None},
    "no aud": lambda _: {"aud": None},
    "no exp": lambda _: {"exp": None},
    "no jti": lambda _: {"jti": None},
    "an empty jti": lambda _: {"jti": ""},
    "a jti that is a number": lambda _: {"jti": 1},
    "another iss": lambda _: {"iss": str(uuid4())},
    "iss is the issuer": lambda app: {"iss": app.server.url},
    "another sub": lambda _: {"sub": str(uuid4())},
    "another aud": lambda _: {"aud": "https://evil.example"},
    "aud is the token endpoint": lambda app: {"aud": f"{app.server.url}/oauth2/token"},
    "aud with another beside it": lambda app: {"aud": [app.server.url, "https://evil.example"]},
    "aud with a slash": lambda app: {"aud": f"{app.server.url}/"},
    "aud empty": lambda _: {"aud": []},
    "exp past": lambda _: {"exp": moment(-30), "iat": moment(-90)},
    "exp far away": lambda _: {"exp": moment(86400)},
    "exp a text": lambda _: {"exp": str(moment(60))},
    "exp huge": lambda _: {"exp": 2**62},
    "nbf to come": lambda _: {"nbf": moment(60)},
    "iat to come": lambda _: {"iat": moment(120), "exp": moment(180)},
}


@pytest.mark.parametrize("name", CLAIMS)
async def test_an_assertion_with_a_wrong_claim(signer: App, name: str) -> None:
    """RFC 7523, 3, and rfc7523bis: the audience is the issuer, and nothing else."""
    await bad(await present(signer, assertion(signer, **CLAIMS[name](signer))), "invalid_client", 401)


def _hashed(app: App) -> str:
    secret = orjson.dumps(KEY.as_dict(private=False))
    text = f"{part({'alg': 'HS256', 'kid': 'client-1', 'typ': 'JWT'})}.{part(claims(app))}"
    return f"{text}.{part(hmac.digest(secret, text.encode(), hashlib.sha256))}"


def _pem(app: App) -> str:
    text = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims(app))}"
    return f"{text}.{part(hmac.digest(KEY.as_pem(private=False), text.encode(), hashlib.sha256))}"


SIGNATURES: dict[str, Callable[[App], str]] = {
    "alg none": lambda app: f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims(app))}.",
    "alg None": lambda app: f"{part({'alg': 'None', 'typ': 'JWT'})}.{part(claims(app))}.",
    "alg none with a signature": lambda app: f"{part({'alg': 'none'})}.{part(claims(app))}.AAAA",
    "a MAC by the JWK": _hashed,
    "a MAC by the PEM": _pem,
    "a foreign key": lambda app: assertion(app, key=OTHER),
    "a foreign key under its own name": lambda app: assertion(app, {"kid": "client-2"}, key=OTHER),
    "a key that it brings": lambda app: assertion(app, {"jwk": OTHER.as_dict(private=False)}, key=OTHER),
    "a key that it points to": lambda app: assertion(app, {"jku": "https://evil.example/jwks.json"}, key=OTHER),
    "a certificate": lambda app: assertion(app, {"x5c": ["MIIB"]}),
    "crit": lambda app: assertion(app, {"crit": ["exp"], "exp": 1}),
    "b64": lambda app: assertion(app, {"crit": ["b64"], "b64": False}),
    "typ of an access token": lambda app: assertion(app, {"typ": "at+jwt"}),
    "typ of a proof": lambda app: assertion(app, {"typ": "dpop+jwt"}),
    "no signature": lambda app: assertion(app).rpartition(".")[0] + ".",
    "nonsense": lambda _: "a.b.c",
    "empty parts": lambda _: "..",
    "very long": lambda app: assertion(app, more="x" * 20_000),
}


@pytest.mark.parametrize("name", SIGNATURES)
async def test_an_assertion_that_the_client_did_not_sign(signer: App, name: str) -> None:
    """RFC 8725: the algorithm and the key are those that were registered."""
    await bad(await present(signer, SIGNATURES[name](signer)), "invalid_client", 401)


async def test_an_assertion_is_good_once(signer: App) -> None:
    """RFC 7523, 3: by its `jti`, at any endpoint."""
    text = assertion(signer)
    assert (await present(signer, text)).status_code == 200
    await bad(await present(signer, text), "invalid_client", 401)
    form = {"client_assertion_type": KIND, "client_assertion": text, "token": "x"}
    await bad(await (await signer.server.http()).post("/oauth2/introspect", data=form), "invalid_client", 401)


@pytest.mark.parametrize("kind", ["", "nonsense", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"])
async def test_the_kind_of_an_assertion_is_said(signer: App, kind: str) -> None:
    """RFC 7521, 4.2."""
    answer = await present(signer, assertion(signer), client_assertion_type=kind)
    assert answer.status_code in (400, 401)
    assert "access_token" not in answer.json()


async def test_an_assertion_and_another_name(signer: App, machine: App) -> None:
    """RFC 7521, 4.2: the name beside it has to be its subject's."""
    answer = await present(signer, assertion(signer), client_id=machine.id)
    assert answer.status_code in (400, 401)


async def test_a_client_with_a_key_has_no_secret(signer: App) -> None:
    """Its name alone, or some secret, is nothing."""
    assert signer.secret is None
    for secret in (None, "x"):
        await bad(await (await signer.afar(secret=secret)).token(grant_type=CLIENT), "invalid_client", 401)


async def test_one_client_does_not_sign_for_another(person: Person, signer: App) -> None:
    """Even with a registered key."""
    jwks = {"keys": [OTHER.as_dict(private=False)]}
    other = await person.register(grant_types=[CLIENT], redirect_uris=[], scopes=None, roles=["viewer"], jwks=jwks)
    await bad(await present(signer, assertion(signer, {"kid": "client-2"}, key=OTHER)), "invalid_client", 401)
    assert (await present(other, assertion(other, {"kid": "client-2"}, key=OTHER))).status_code == 200


KEYS = {
    "ES256": lambda: ECKey.generate_key("P-256", private=True),
    "PS256": lambda: RSAKey.generate_key(2048, private=True),
    "RS256": lambda: RSAKey.generate_key(2048, private=True),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519", private=True),
    "Ed25519": lambda: OKPKey.generate_key("Ed25519", private=True),
}


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # by its name only; clients still use it
async def test_every_advertised_algorithm_works(person: Person) -> None:
    """RFC 8414: what the metadata name for signatures of clients is taken, no more and no less than is tried here."""
    document = (await person.browser.http.get("/.well-known/oauth-authorization-server")).json()
    assert set(document["token_endpoint_auth_signing_alg_values_supported"]) == set(KEYS)
    for algorithm, make in KEYS.items():
        key = make()
        jwks = {"keys": [key.as_dict(private=False)]}
        app = await person.register(grant_types=[CLIENT], redirect_uris=[], scopes=None, roles=["viewer"], jwks=jwks)
        text = jws.serialize_compact({"alg": algorithm}, orjson.dumps(claims(app)), key, algorithms=[algorithm])
        assert (await present(app, text)).status_code == 200, algorithm
