"""Tokens bound to a key (RFC 9449): bad proofs, and no way between bound and unbound."""

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import OctKey

from tests.conformance.answers import bad
from tests.conformance.proofs import KEY, OTHER, TOKEN, ath, call, given, proof
from tests.conformance.server import API, CODE, REFRESH, App, Person, challenge, new_verifier
from tests.conformance.tokens import part, signed

Proving = dict[str, Any]


async def test_a_sound_proof_is_taken(bound: App, held: dict[str, Any]) -> None:
    """Without this, the refusals would prove nothing."""
    assert held["token_type"] == "DPoP"
    token = held["access_token"]
    assert (await call(bound, token, proof(bound, "GET", API, ath=ath(token)))).status_code == 200


def _hashed(app: App) -> str:
    key = OctKey.generate_key(256)
    said = {"typ": "dpop+jwt", "alg": "HS256", "jwk": key.as_dict()}
    return f"{part(said)}.{part({'jti': 'x', 'htm': 'POST', 'htu': app.server.url + TOKEN})}.{part(b'x' * 32)}"


PROOFS: dict[str, Callable[[App, Proving], str]] = {
    "another method": lambda app, more: proof(app, **{**more, "htm": "PUT"}),
    "a method in small letters": lambda app, more: proof(app, **{**more, "htm": more["method"].lower()}),
    "no method": lambda app, more: proof(app, **{**more, "htm": None}),
    "another path": lambda app, more: proof(app, **{**more, "htu": f"{app.server.url}/other"}),
    "another host": lambda app, more: proof(app, **{**more, "htu": f"https://evil.example{more['path']}"}),
    "a path alone": lambda app, more: proof(app, **{**more, "htu": more["path"]}),
    "no URL": lambda app, more: proof(app, **{**more, "htu": None}),
    "no jti": lambda app, more: proof(app, **{**more, "jti": None}),
    "an empty jti": lambda app, more: proof(app, **{**more, "jti": ""}),
    "a jti that is a number": lambda app, more: proof(app, **{**more, "jti": 1}),
    "a huge jti": lambda app, more: proof(app, **{**more, "jti": "x" * 5000}),
    "no iat": lambda app, more: proof(app, **{**more, "iat": None}),
    "an old iat": lambda app, more: proof(app, **{**more, "iat": int(time.time()) - 600}),
    "an iat to come": lambda app, more: proof(app, **{**more, "iat": int(time.time()) + 600}),
    "an iat that is a text": lambda app, more: proof(app, **{**more, "iat": str(int(time.time()))}),
    "no typ": lambda app, more: proof(app, **{**more, "header": {"typ": None}}),
    "typ JWT": lambda app, more: proof(app, **{**more, "header": {"typ": "JWT"}}),
    "typ of an access token": lambda app, more: proof(app, **{**more, "header": {"typ": "at+jwt"}}),
    "no key": lambda app, more: proof(app, **{**more, "header": {"jwk": None}}),
    "a private key": lambda app, more: proof(app, **{**more, "header": {"jwk": KEY.as_dict(private=True)}}),
    "another key than signed": lambda app, more: proof(
        app, **{**more, "header": {"jwk": OTHER.as_dict(private=False)}}
    ),
    "a key that is a text": lambda app, more: proof(app, **{**more, "header": {"jwk": "x"}}),
    "a key off the curve": lambda app, more: proof(
        app, **{**more, "header": {"jwk": {**KEY.as_dict(private=False), "x": part(bytes(32))}}}
    ),
    "alg none": lambda app, more: proof(app, **{**more, "header": {"alg": "none"}}),
    "alg of another key": lambda app, more: proof(app, **{**more, "header": {"alg": "RS256"}}),
    "a MAC": lambda app, _: _hashed(app),
    "crit": lambda app, more: proof(app, **{**more, "header": {"crit": ["x"], "x": 1}}),
    "a broken signature": lambda app, more: proof(app, **more)[:-6] + "AAAAAA",
    "no signature": lambda app, more: proof(app, **more).rpartition(".")[0] + ".",
    "nonsense": lambda *_: "a.b.c",
    "empty": lambda *_: "..",
    "claims that are a list": lambda *_: signed(
        {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.as_dict(private=False)}, orjson.dumps([]), KEY
    ),
}


@pytest.mark.parametrize("name", PROOFS)
async def test_a_bad_proof_at_the_token_endpoint(bound: App, held: dict[str, Any], name: str) -> None:
    """RFC 9449, 4.3 and 5: `invalid_dpop_proof`, before anything is used up."""
    text = PROOFS[name](bound, {"method": "POST", "path": TOKEN})
    answer = await bound.token(headers={"DPoP": text}, grant_type=REFRESH, refresh_token=held["refresh_token"])
    await bad(answer, "invalid_dpop_proof")


@pytest.mark.parametrize("name", PROOFS)
async def test_a_bad_proof_at_a_service(bound: App, held: dict[str, Any], name: str) -> None:
    """RFC 9449, 7.1: 401, with a challenge that says DPoP."""
    token = held["access_token"]
    answer = await call(bound, token, PROOFS[name](bound, {"method": "GET", "path": API, "ath": ath(token)}))
    assert answer.status_code == 401
    assert "DPoP" in answer.headers["www-authenticate"]


async def test_the_refused_burnt_nothing(bound: App, person: Person) -> None:
    """A refresh token goes on after bad proofs, and one without a proof."""
    tokens = await given(person, bound)
    form = {"grant_type": REFRESH, "refresh_token": tokens["refresh_token"]}
    await bad(await bound.token(headers={"DPoP": "a.b.c"}, **form), "invalid_dpop_proof")
    await bad(await bound.token(**form), "invalid_dpop_proof")
    assert (await bound.token(headers={"DPoP": proof(bound)}, **form)).status_code == 200


@pytest.mark.parametrize(("bits", "status"), [(1024, 400), (2048, 200)])
async def test_a_short_key_proves_nothing(person: Person, bound: App, bits: int, status: int) -> None:
    """RFC 7518, 3.3: RSA keys have 2048 bits or more."""
    code, verifier = await person.code(bound)
    form = {"grant_type": CODE, "code": code, "redirect_uri": bound.uri, "code_verifier": verifier}
    raw = rsa.generate_private_key(65537, bits)
    numbers = raw.public_key().public_numbers()
    jwk = {"kty": "RSA", "n": part(numbers.n.to_bytes(bits // 8, "big")), "e": "AQAB"}
    claims = {"jti": str(uuid4()), "htm": "POST", "htu": bound.server.url + TOKEN, "iat": int(time.time())}
    text = f"{part({'typ': 'dpop+jwt', 'alg': 'RS256', 'jwk': jwk})}.{part(claims)}"
    signature = raw.sign(text.encode(), PKCS1v15(), SHA256())
    answer = await bound.token(headers={"DPoP": f"{text}.{part(signature)}"}, **form)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("wrong", ["", "x", "A" * 43])
async def test_a_proof_is_for_one_token(bound: App, held: dict[str, Any], wrong: str) -> None:
    """`ath` (RFC 9449, 4.3)."""
    token = held["access_token"]
    assert (await call(bound, token, proof(bound, "GET", API, ath=wrong or None))).status_code == 401


async def test_a_proof_of_another_key(bound: App, held: dict[str, Any]) -> None:
    """A thief's own proof is worth nothing."""
    token = held["access_token"]
    assert (await call(bound, token, proof(bound, "GET", API, ath=ath(token), key=OTHER))).status_code == 401


async def test_a_proof_is_good_once(bound: App, held: dict[str, Any]) -> None:
    """At a service and at the token endpoint."""
    token = held["access_token"]
    text = proof(bound, "GET", API, ath=ath(token))
    assert [(await call(bound, token, text)).status_code for _ in range(2)] == [200, 401]
    text = proof(bound)
    form = {"grant_type": REFRESH, "refresh_token": "rt_x"}
    await bad(await bound.token(headers={"DPoP": text}, **form))
    again = await bound.token(headers={"DPoP": text}, **form)
    assert again.status_code == 400


async def test_two_proofs(bound: App, held: dict[str, Any]) -> None:
    """RFC 9449, 4.3: there is one."""
    token = held["access_token"]
    two = [proof(bound, "GET", API, ath=ath(token)) for _ in range(2)]
    assert (await call(bound, token, *two)).status_code == 401


async def test_no_downgrade(bound: App, held: dict[str, Any]) -> None:
    """A bound token as Bearer is refused, with its proof too (RFC 9449, 7.2)."""
    token = held["access_token"]
    assert (await call(bound, token, scheme="Bearer")).status_code == 401
    assert (await call(bound, token, proof(bound, "GET", API, ath=ath(token)), scheme="Bearer")).status_code == 401
    assert (await call(bound, token)).status_code == 401


async def test_no_upgrade(person: Person, app: App) -> None:
    """An unbound token with a proof is no DPoP token (RFC 9449, 7.1)."""
    token = (await person.tokens(app))["access_token"]
    assert (await call(app, token, proof(app, "GET", API, ath=ath(token)))).status_code == 401


async def test_a_client_that_has_to_cannot_leave_it_out(person: Person, bound: App) -> None:
    """And the code stays good."""
    code, verifier = await person.code(bound)
    form = {"grant_type": CODE, "code": code, "redirect_uri": bound.uri, "code_verifier": verifier}
    await bad(await bound.token(**form), "invalid_dpop_proof")
    assert (await bound.token(headers={"DPoP": proof(bound)}, **form)).status_code == 200


async def test_a_code_is_bound_where_it_was_asked(person: Person, bound: App) -> None:
    """`dpop_jkt` (RFC 9449, 10): another key's proof gets nothing."""
    verifier = new_verifier()
    code = (await person.browser.allow(bound.ask(verifier, dpop_jkt=KEY.thumbprint())))["code"]
    form = {"grant_type": CODE, "code": code, "redirect_uri": bound.uri, "code_verifier": verifier}
    await bad(await bound.token(headers={"DPoP": proof(bound, key=OTHER)}, **form))
    assert (await bound.token(headers={"DPoP": proof(bound)}, **form)).status_code == 200


async def test_a_public_clients_refresh_token_is_bound(person: Person, bound: App) -> None:
    """RFC 9449, 5."""
    tokens = await given(person, bound)
    form = {"grant_type": REFRESH, "refresh_token": tokens["refresh_token"]}
    await bad(await bound.token(headers={"DPoP": proof(bound, key=OTHER)}, **form))
    assert (await bound.token(headers={"DPoP": proof(bound)}, **form)).status_code == 200


async def test_introspection_says_the_key(person: Person) -> None:
    """RFC 9449, 6.2: `cnf` and the token's type."""
    app = await person.register(dpop=True)
    token = (await given(person, app))["access_token"]
    shown = (await app.post("/oauth2/introspect", token=token)).json()
    assert shown["cnf"] == {"jkt": KEY.thumbprint()}
    assert shown["token_type"] == "DPoP"


async def test_a_pushed_request_and_another_key(bound: App) -> None:
    """RFC 9449, 10.1: a proof and `dpop_jkt` have to agree."""
    asked = {**bound.ask(new_verifier()), "dpop_jkt": OTHER.thumbprint(), "code_challenge": challenge("v" * 43)}
    asked.pop("client_id")
    answer = await bound.post("/oauth2/par", headers={"DPoP": proof(bound, path="/oauth2/par")}, **asked)
    assert answer.status_code == 400
