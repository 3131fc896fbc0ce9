"""How clients prove who they are (OAuth 2.1, 2.4; RFC 7521, RFC 7523, RFC 8725): one way, once, or one refusal."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.conformance.answers import bad
from tests.conformance.server import CLIENT, App, Person
from tests.conformance.tokens import part, signed

KEY, OTHER = (ECKey.generate_key("P-256", {"kid": kid}, private=True) for kid in ("client-1", "client-2"))
KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
URL = "/oauth2/token"


@pytest.fixture(scope="module")
async def machine(person: Person) -> App:
    """Return a client with a secret."""
    return await person.register(grant_types=[CLIENT], redirect_uris=[], scopes=None, roles=["viewer"])


@pytest.fixture(scope="module")
async def signer(person: Person) -> App:
    """Return a client with a key."""
    jwks = {"keys": [KEY.as_dict(private=False)]}
    return await person.register(grant_types=[CLIENT], redirect_uris=[], scopes=None, roles=["viewer"], jwks=jwks)


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def claims(app: App, **changed: Any) -> dict[str, Any]:
    now = int(time.time())
    said = {"iss": app.id, "sub": app.id, "aud": app.server.url, "jti": str(uuid4()), "iat": now, "exp": now + 60}
    return {name: value for name, value in {**said, **changed}.items() if value is not None}


def assertion(app: App, header: dict[str, Any] | None = None, key: ECKey = KEY, **changed: Any) -> str:
    """Return an assertion of a client; None leaves a claim or a parameter out."""
    given = {"alg": "ES256", "kid": "client-1", "typ": "JWT", **(header or {})}
    return signed({name: value for name, value in given.items() if value is not None}, claims(app, **changed), key)


async def present(app: App, text: str, **more: str) -> httpx.Response:
    form = {"grant_type": CLIENT, "client_assertion_type": KIND, "client_assertion": text, **more}
    return await (await app.server.http()).post(URL, data={name: value for name, value in form.items() if value})


Ways = dict[str, Callable[[App], tuple[dict[str, str], dict[str, str]]]]
"""What a client with a secret presents: headers and fields."""

WRONG: Ways = {
    "nothing": lambda _: ({}, {}),
    "a name alone": lambda app: ({}, {"client_id": app.id}),
    "a wrong secret in the header": lambda app: ({"Authorization": basic(app.id, "wrong")}, {}),
    "a wrong secret in the body": lambda app: ({}, {"client_id": app.id, "client_secret": "wrong"}),
    "a secret cut short": lambda app: ({"Authorization": basic(app.id, (app.secret or "")[:-1])}, {}),
    "a secret with more": lambda app: ({"Authorization": basic(app.id, f"{app.secret}x")}, {}),
    "a secret in capitals": lambda app: ({"Authorization": basic(app.id, (app.secret or "").upper())}, {}),
    "no secret in the header": lambda app: ({"Authorization": basic(app.id, "")}, {}),
    "another's secret": lambda app: ({"Authorization": basic(str(uuid4()), app.secret or "")}, {}),
    "a header that is no base64": lambda _: ({"Authorization": "Basic !!!"}, {}),
    "a header without a colon": lambda _: ({"Authorization": "Basic " + base64.b64encode(b"x").decode()}, {}),
    "a bearer token": lambda app: ({"Authorization": f"Bearer {app.server.forge.token()}"}, {}),
    "SQL for a name": lambda _: ({"Authorization": basic("' OR 1=1 --", "x")}, {}),
    "a null in the name": lambda app: ({"Authorization": basic(f"{app.id}\x00", app.secret or "")}, {}),
    "bytes that are no text": lambda _: ({"Authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()}, {}),
    "an assertion, without a key": lambda app: (
        {},
        {"client_assertion_type": KIND, "client_assertion": assertion(app)},
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_wrong_credentials(machine: App, name: str) -> None:
    """`invalid_client`, 401; with a challenge where a header was tried (RFC 6749, 5.2)."""
    headers, form = WRONG[name](machine)
    http = await machine.server.http()
    answer = await http.post(URL, data={"grant_type": CLIENT, **form}, headers=headers)
    await bad(answer, "invalid_client", 401)
    assert ("www-authenticate" in answer.headers) >= ("Authorization" in headers)


TWICE: Ways = {
    "header and body": lambda app: (
        {"Authorization": basic(app.id, app.secret or "")},
        {"client_id": app.id, "client_secret": app.secret or ""},
    ),
    "header and the secret alone": lambda app: (
        {"Authorization": basic(app.id, app.secret or "")},
        {"client_secret": app.secret or ""},
    ),
    "header and an assertion": lambda app: (
        {"Authorization": basic(app.id, app.secret or "")},
        {"client_assertion_type": KIND, "client_assertion": assertion(app)},
    ),
    "body and an assertion": lambda app: (
        {},
        {
            "client_id": app.id,
            "client_secret": app.secret or "",
            "client_assertion_type": KIND,
            "client_assertion": assertion(app),
        },
    ),
    "header and another name": lambda app: (
        {"Authorization": basic(app.id, app.secret or "")},
        {"client_id": str(uuid4())},
    ),
}


@pytest.mark.parametrize("name", TWICE)
async def test_more_than_one_way_is_refused(machine: App, name: str) -> None:
    """OAuth 2.1, 2.4: one method in a request, even if both are right."""
    headers, form = TWICE[name](machine)
    http = await machine.server.http()
    answer = await http.post(URL, data={"grant_type": CLIENT, **form}, headers=headers)
    assert answer.status_code in (400, 401)
    assert answer.json()["error"] in ("invalid_request", "invalid_client")


@pytest.mark.parametrize("form", [True, False])
async def test_credentials_do_not_come_in_the_query(machine: App, *, form: bool) -> None:
    """RFC 6749, 2.3.1."""
    query = {"client_id": machine.id, "client_secret": machine.secret or ""}
    http = await machine.server.http()
    answer = await http.post(URL, params=query, data={"grant_type": CLIENT} if form else None)
    assert answer.status_code in (400, 401)
    assert "access_token" not in answer.json()


@pytest.mark.parametrize("endpoint", ["token", "introspect", "revoke", "par", "device_authorization"])
async def test_unknown_is_answered_like_wrong(machine: App, endpoint: str) -> None:
    """The same status, body and headers: nobody learns which clients there are."""
    known, unknown = await machine.afar(secret="wrong"), await machine.afar(id=str(uuid4()), secret="wrong")
    one, two = [
        await app.post(f"/oauth2/{endpoint}", grant_type=CLIENT, token="x", scope="report:read")
        for app in (known, unknown)
    ]
    assert (one.status_code, one.content) == (two.status_code, two.content)
    assert one.status_code == 401
    volatile = {"date", "x-request-id"}
    assert [item for item in one.headers.items() if item[0] not in volatile] == [
        item for item in two.headers.items() if item[0] not in volatile
    ]


async def test_both_ways_of_a_secret_work(machine: App) -> None:
    """Without this, the refusals would prove nothing."""
    assert (await machine.token(grant_type=CLIENT)).status_code == 200
    form = {"grant_type": CLIENT, "client_id": machine.id, "client_secret": machine.secret}
    assert (await machine.http.post(URL, data=form)).status_code == 200


async def test_a_public_client_has_no_secret(native: App) -> None:
    """One that sends some secret is not who it says."""
    app = await native.afar(secret="anything")
    await bad(await app.refresh("x"), "invalid_client", 401)


async def test_a_confidential_client_cannot_leave_its_secret_out(app: App, person: Person) -> None:
    """Nor at any grant."""
    code, verifier = await person.code(app)
    bare = await app.afar(secret=None)
    await bad(await bare.redeem(code, verifier), "invalid_client", 401)
    assert (await app.redeem(code, verifier)).status_code == 200


async def test_an_earlier_secret_works_beside_the_new_one(person: Person) -> None:
    """Secrets rotate with overlap; without overlap the old one ends."""
    app = await person.register(grant_types=[CLIENT], redirect_uris=[], scopes=None, roles=["viewer"])
    owner = {"Authorization": f"Bearer {person.access_token}"}
    turned = await app.http.post(f"/v1/clients/{app.id}/rotate", json={"overlap_seconds": 60}, headers=owner)
    second = await app.afar(secret=turned.json()["client_secret"])
    assert [(await one.token(grant_type=CLIENT)).status_code for one in (app, second)] == [200, 200]
    turned = await app.http.post(f"/v1/clients/{app.id}/rotate", json={"overlap_seconds": 0}, headers=owner)
    third = await app.afar(secret=turned.json()["client_secret"])
    assert [(await one.token(grant_type=CLIENT)).status_code for one in (third, await app.afar())] == [200, 401]


# private_key_jwt


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
