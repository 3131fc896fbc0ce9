"""What all endpoints have in common (RFC 6749, 3.2; RFC 8414; OpenID Connect Discovery): methods, types, documents."""

from typing import Any

import httpx
import pytest

from tests.conformance.answers import bad
from tests.conformance.server import CLIENT, CODE, App, Person, Server

FORMS = ("token", "introspect", "revoke", "par", "device_authorization")
FIELDS = {"grant_type": CLIENT, "token": "x", "scope": "report:read"}


@pytest.fixture(scope="module")
async def machine(person: Person) -> App:
    """Return a client with a secret, that may do what these tests try."""
    return await person.register(grant_types=[CLIENT], redirect_uris=[], scopes=None, roles=["viewer"])


@pytest.mark.parametrize("endpoint", FORMS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_forms_are_posted(machine: App, endpoint: str, method: str) -> None:
    """OAuth 2.1, 3.2: POST only; 405 says which method is there."""
    answer = await machine.http.request(
        method, f"/oauth2/{endpoint}", params=FIELDS, auth=(machine.id, machine.secret or "")
    )
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


KINDS = {
    "JSON": {"json": FIELDS},
    "a multipart form": {"files": {name: (None, value) for name, value in FIELDS.items()}},
    "plain text": {"content": "grant_type=client_credentials&token=x", "headers": {"Content-Type": "text/plain"}},
    "no type": {"content": "grant_type=client_credentials&token=x"},
    "XML": {"content": "<x/>", "headers": {"Content-Type": "application/xml"}},
    "a type that begins so": {
        "content": "grant_type=client_credentials&token=x",
        "headers": {"Content-Type": "application/x-www-form-urlencoded-more"},
    },
}


@pytest.mark.parametrize("endpoint", FORMS)
@pytest.mark.parametrize("name", KINDS)
async def test_only_forms_are_read(machine: App, endpoint: str, name: str) -> None:
    """RFC 6749, appendix B: parameters are application/x-www-form-urlencoded."""
    answer = await machine.http.post(f"/oauth2/{endpoint}", auth=(machine.id, machine.secret or ""), **KINDS[name])
    assert answer.status_code in (400, 415)
    assert answer.json()["error"] == "invalid_request"


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", ";charset=UTF-8"])
async def test_a_charset_is_fine(machine: App, charset: str) -> None:
    """What libraries send."""
    headers = {"Content-Type": f"application/x-www-form-urlencoded{charset}"}
    answer = await machine.http.post(
        "/oauth2/token", content=f"grant_type={CLIENT}", headers=headers, auth=(machine.id, machine.secret or "")
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("endpoint", FORMS)
@pytest.mark.parametrize("same", [True, False])
async def test_repeated_parameters_are_refused(machine: App, endpoint: str, *, same: bool) -> None:
    """RFC 6749, 3.2: at every endpoint, equal values too."""
    content = f"grant_type={CLIENT}&token=x&scope=report:read&scope={'report:read' if same else 'run:read'}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await machine.http.post(
        f"/oauth2/{endpoint}", content=content, headers=headers, auth=(machine.id, machine.secret or "")
    )
    await bad(answer, "invalid_request")


@pytest.mark.parametrize(
    "content", ["%ff=%ff", "a=" + "b" * 2_000_000, "&".join(f"a{n}=b" for n in range(2000)), "=", "%"]
)
async def test_a_body_that_cannot_be_read(machine: App, content: str) -> None:
    """A 4xx, never a 5xx."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await machine.http.post("/oauth2/token", content=content, headers=headers)
    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize("endpoint", FORMS)
async def test_answers_are_not_kept(machine: App, endpoint: str) -> None:
    """RFC 6749, 5.1; RFC 7662, 2.2; RFC 9126, 2.2: also those that refuse."""
    for form in (FIELDS, {}):
        answer = await machine.http.post(f"/oauth2/{endpoint}", data=form, auth=(machine.id, machine.secret or ""))
        assert "no-store" in answer.headers["cache-control"]


async def test_userinfo_is_not_kept(person: Person, app: App) -> None:
    """OpenID Connect Core, 5.3.2; by GET and by POST."""
    token = (await person.tokens(app, scope="openid profile"))["access_token"]
    for method in ("GET", "POST"):
        answer = await app.http.request(method, "/oauth2/userinfo", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200
        assert "no-store" in answer.headers["cache-control"]
        assert answer.json()["sub"] == f"user:{person.id}"
        assert answer.json()["name"] == "Olga Owner"
        assert "email" not in answer.json()


async def test_userinfo_is_for_openid(person: Person, app: App) -> None:
    """A token without the scope: 403 and what is missing (RFC 6750, 3.1)."""
    token = (await person.tokens(app, scope="report:read"))["access_token"]
    answer = await app.http.get("/oauth2/userinfo", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


async def test_userinfo_without_a_token(app: App) -> None:
    """401, with a challenge that names no error (RFC 6750, 3.1)."""
    answer = await app.http.get("/oauth2/userinfo")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "error" not in answer.headers["www-authenticate"]


@pytest.mark.parametrize("endpoint", [*FORMS, "userinfo", "authorize", "login", "consent"])
async def test_no_other_origin_reads_with_credentials(app: App, endpoint: str) -> None:
    """No CORS with cookies, in an answer or before one."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "POST"):
        answer = await app.http.request(method, f"/oauth2/{endpoint}", headers=headers)
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers.get("access-control-allow-origin") != "https://evil.example"


# Documents


async def shown(server: Server, path: str) -> Any:
    answer = await (await server.http()).get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    return answer.json()


DOCUMENTS = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_a_document_is_its_issuers(server: Server, path: str) -> None:
    """RFC 8414, 3.3: the issuer is the URL that the document was fetched by; every endpoint is on it."""
    document = await shown(server, path)
    assert document["issuer"] == server.url
    places = [value for name, value in document.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(places) >= 7
    assert all(value.startswith(f"{server.url}/") and "#" not in value and "?" not in value for value in places)


@pytest.mark.parametrize("path", [f"{DOCUMENTS[0]}/x", f"/x{DOCUMENTS[1]}", f"{DOCUMENTS[1]}/", f"{DOCUMENTS[0]}/"])
async def test_there_is_no_document_of_another_issuer(server: Server, path: str) -> None:
    """RFC 8414, 3.1: an issuer without a path has one place."""
    assert (await (await server.http()).get(path)).status_code in (404, 307)


async def test_both_documents_agree(server: Server) -> None:
    """OpenID's holds more, and nothing else."""
    one, two = [await shown(server, path) for path in DOCUMENTS]
    assert {name: two.get(name) for name in one} == one


REQUIRED = {
    "response_types_supported": ["code"],
    "code_challenge_methods_supported": ["S256"],
    "response_modes_supported": ["query"],
    "subject_types_supported": ["public"],
    "authorization_response_iss_parameter_supported": True,
    "request_uri_parameter_supported": False,
    "request_parameter_supported": False,
    "claims_parameter_supported": False,
    "require_pushed_authorization_requests": False,
}


@pytest.mark.parametrize("name", REQUIRED)
async def test_what_is_advertised(server: Server, name: str) -> None:
    """What clients decide by."""
    assert (await shown(server, DOCUMENTS[1]))[name] == REQUIRED[name]


async def test_what_is_not_there_is_not_advertised(server: Server) -> None:
    """No implicit or password grant, no `none`, no secrets for signatures."""
    document = await shown(server, DOCUMENTS[1])
    grants = {CODE, CLIENT, "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"}
    assert set(document["grant_types_supported"]) == grants
    for name, value in document.items():
        if name.endswith(("_alg_values_supported", "_signing_alg_values_supported")):
            assert not [alg for alg in value if alg.lower() == "none" or alg.startswith("HS")]
    methods = {"client_secret_basic", "client_secret_post", "private_key_jwt", "none"}
    assert set(document["token_endpoint_auth_methods_supported"]) == methods
    assert set(document["introspection_endpoint_auth_methods_supported"]) == methods - {"none"}
    assert "registration_endpoint" not in document


async def test_every_advertised_grant_is_known(server: Server, machine: App) -> None:
    """None is refused as unsupported, all others are."""
    for grant in (await shown(server, DOCUMENTS[0]))["grant_types_supported"]:
        answer = await machine.token(grant_type=grant, code="x", device_code="x", refresh_token="x")
        assert answer.json().get("error") != "unsupported_grant_type"


async def test_every_advertised_place_is_there(server: Server, machine: App) -> None:
    """No endpoint of the documents is a 404."""
    document = await shown(server, DOCUMENTS[1])
    for name, value in document.items():
        if name.endswith(("_endpoint", "_uri")):
            answer = await machine.http.get(value.removeprefix(server.url))
            assert answer.status_code != 404, name


async def test_every_advertised_scope_can_be_registered(server: Server, person: Person) -> None:
    """And asked for."""
    scopes = (await shown(server, DOCUMENTS[0]))["scopes_supported"]
    assert {"openid", "profile", "email", "offline_access", "report:read"} <= set(scopes)
    own = [scope for scope in scopes if not scope.startswith("platform:")]
    await person.register(scopes=own)


async def test_keys_are_public_and_named(server: Server) -> None:
    """RFC 7517: public parts only, each with kid, use and alg; no two of one name."""
    keys = (await shown(server, "/.well-known/jwks.json"))["keys"]
    assert keys
    for key in keys:
        assert not {"d", "p", "q", "dp", "dq", "qi", "k", "oth"} & set(key)
        assert key["kty"] in ("EC", "RSA", "OKP")
        assert key["use"] == "sig"
        assert key["alg"] in ("ES256", "RS256", "PS256", "EdDSA", "Ed25519")
    assert len({key["kid"] for key in keys}) == len(keys)


async def test_keys_may_be_kept_for_a_while(server: Server) -> None:
    """Not longer than a key is published before it signs."""
    answer = await (await server.http()).get("/.well-known/jwks.json")
    assert "max-age=" in answer.headers["cache-control"]
    assert int(answer.headers["cache-control"].partition("max-age=")[2].split(",")[0]) <= 300


# Accounts


async def pair(server: Server, path: str, one: dict[str, str], two: dict[str, str]) -> tuple[httpx.Response, ...]:
    """Post two bodies, each from an address of its own."""
    return tuple([await (await server.http()).post(path, json=body) for body in (one, two)])


def same(one: httpx.Response, two: httpx.Response) -> bool:
    """Say whether two answers tell the same; the request's own id is its own."""
    shown = [{k: v for k, v in answer.json().items() if k != "request_id"} for answer in (one, two)]
    return one.status_code == two.status_code and shown[0] == shown[1]


async def test_login_tells_nobody_who_has_an_account(server: Server, person: Person) -> None:
    """A wrong password and an unknown address have one answer."""
    one = {"email": person.email, "password": "wrong horse battery staple"}
    two = {"email": "nobody-here@example.com", "password": "wrong horse battery staple"}
    answers = await pair(server, "/v1/login", one, two)
    assert same(*answers)
    assert answers[0].status_code == 401


async def test_sign_up_tells_nobody_who_has_an_account(server: Server, person: Person) -> None:
    """The mail tells its reader."""
    rest = {"name": "N", "tenant_name": "T"}
    answers = await pair(
        server, "/v1/signup", {"email": person.email, **rest}, {"email": "new-here@example.com", **rest}
    )
    assert same(*answers)
    assert answers[0].status_code == 202


async def test_reset_tells_nobody_who_has_an_account(server: Server, person: Person) -> None:
    """The same."""
    answers = await pair(server, "/v1/password/forgot", {"email": person.email}, {"email": "nobody-else@example.com"})
    assert same(*answers)
    assert answers[0].status_code == 202
