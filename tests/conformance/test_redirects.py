"""Where a browser may be sent (OAuth 2.1, 2.3 and 4.1; RFC 8252; RFC 9700, 4.1): whole strings are compared."""

import pytest

from tests.conformance.browser import told
from tests.conformance.server import CODE, REFRESH, App, Person, new_verifier

HOST = "client.example"
OTHERS = {
    "another host": "https://evil.example/cb",
    "a subdomain": "https://a.client.example/cb",
    "a host that begins so": "https://client.example.evil.example/cb",
    "a host that ends so": "https://evilclient.example/cb",
    "a host in capitals": "https://CLIENT.example/cb",
    "a host with a dot": "https://client.example./cb",
    "a scheme in capitals": "HTTPS://client.example/cb",
    "http": "http://client.example/cb",
    "a port": "https://client.example:8443/cb",
    "the usual port": "https://client.example:443/cb",
    "a slash at the end": "https://client.example/cb/",
    "a path in capitals": "https://client.example/CB",
    "a longer path": "https://client.example/cb/more",
    "a path that begins so": "https://client.example/cbx",
    "a shorter path": "https://client.example/c",
    "no path": "https://client.example",
    "a way up": "https://client.example/cb/../cb",
    "an encoded way up": "https://client.example/cb/%2e%2e/cb",
    "two slashes": "https://client.example//cb",
    "an encoded letter": "https://client.example/c%62",
    "an encoded slash": "https://client.example%2fcb",
    "a query": "https://client.example/cb?a=1",
    "an empty query": "https://client.example/cb?",
    "a fragment": "https://client.example/cb#a",
    "an empty fragment": "https://client.example/cb#",
    "a user": "https://user@client.example/cb",
    "a host for a user": "https://client.example@evil.example/cb",
    "a host for a user and a password": "https://client.example:443@evil.example/cb",
    "a wildcard": "https://*.example/cb",
    "a backslash": "https://client.example\\@evil.example/cb",
    "a tab": "https://client.example/\tcb",
    "a line end": "https://client.example/cb\r\nSet-Cookie: a=b",
    "a null": "https://client.example/cb\x00",
    "a space before": " https://client.example/cb",
    "a space behind": "https://client.example/cb ",
    "another alphabet": "https://cl\u0456ent.example/cb",
    "no scheme": "//client.example/cb",
    "javascript": "javascript:alert(1)//https://client.example/cb",
    "data": "data:text/html,<script>alert(1)</script>",
    "out of band": "urn:ietf:wg:oauth:2.0:oob",
    "a matrix parameter": "https://client.example/cb;a=1",
    "very long": "https://client.example/cb" + "a" * 3000,
}


@pytest.mark.parametrize("name", OTHERS)
async def test_any_other_uri_is_refused_at_the_browser(person: Person, app: App, name: str) -> None:
    """Nobody is sent anywhere: the person reads what is wrong."""
    answer = await person.browser.open(app.ask(new_verifier(), redirect_uri=OTHERS[name]))
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "text/html" in answer.headers["content-type"]


@pytest.mark.parametrize("name", ["a slash at the end", "a query", "another host", "a fragment", "an encoded letter"])
async def test_any_other_uri_is_refused_when_it_is_pushed(app: App, name: str) -> None:
    """RFC 9126, 2.3: the client is told."""
    answer = await app.post("/oauth2/par", **{**app.ask(new_verifier()), "redirect_uri": OTHERS[name], "client_id": ""})
    assert answer.status_code == 400
    assert "request_uri" not in answer.json()


async def test_a_missing_uri_is_refused(person: Person, app: App) -> None:
    """It is never guessed, even if there is one only."""
    answer = await person.browser.open(app.ask(new_verifier(), redirect_uri=""))
    assert (answer.status_code, "location" in answer.headers) == (400, False)


@pytest.mark.parametrize(
    "client_id",
    [
        "",
        "04cefda0-9478-4c63-87a0-e74407a969f0",
        "nobody",
        "' OR 1=1 --",
        "../x",
        "%00",
        "a" * 4000,
        "00000000-0000-0000-0000-000000000000",
    ],
)
async def test_an_unknown_client_is_refused_at_the_browser(person: Person, app: App, client_id: str) -> None:
    """Nobody is sent anywhere."""
    answer = await person.browser.open(app.ask(new_verifier(), client_id=client_id))
    assert (answer.status_code, "location" in answer.headers) == (400, False)


@pytest.mark.parametrize("wrong", [{"response_type": "token"}, {"scope": "nonsense"}, {"code_challenge": "x"}])
async def test_other_faults_do_not_open_the_way(person: Person, app: App, wrong: dict[str, str]) -> None:
    """A request that is wrong twice is not answered at a URI that is not the client's."""
    answer = await person.browser.open(app.ask(new_verifier(), redirect_uri="https://evil.example/cb", **wrong))
    assert (answer.status_code, "location" in answer.headers) == (400, False)


@pytest.mark.parametrize("port", ["1", "80", "8080", "49152", "65535"])
async def test_a_native_client_takes_a_free_port(person: Person, native: App, port: str) -> None:
    """RFC 8252, 7.3: of a loopback address any port will do."""
    verifier, uri = new_verifier(), f"http://127.0.0.1:{port}/cb"
    answer = await person.browser.open(native.ask(verifier, redirect_uri=uri))
    if answer.status_code == 200:
        answer = await person.browser.submit(answer, decision="allow")
    assert answer.headers["location"].startswith(f"{uri}?")
    redeemed = await native.redeem(told(answer)["code"], verifier, redirect_uri=uri)
    assert redeemed.status_code == 200


LOOPBACK = [
    "http://127.0.0.1:0/cb",
    "http://127.0.0.1:65536/cb",
    "http://127.0.0.1:/cbx",
    "http://127.0.0.1:8080/other",
    "http://127.0.0.1:8080/cb/",
    "http://127.0.0.1:8080/cb?a=1",
    "http://127.0.0.1:8080/cb#a",
    "https://127.0.0.1:8080/cb",
    "http://localhost:8080/cb",
    "http://127.0.0.2:8080/cb",
    "http://127.1:8080/cb",
    "http://2130706433:8080/cb",
    "http://0.0.0.0:8080/cb",
    "http://[::1]:8080/cb",
    "http://user@127.0.0.1:8080/cb",
    "http://127.0.0.1:8080@evil.example/cb",
    "http://127.0.0.1.evil.example:8080/cb",
    "http://127.0.0.1:80a/cb",
    "http://127.0.0.1:-1/cb",
]


@pytest.mark.parametrize("uri", LOOPBACK)
async def test_a_native_client_takes_nothing_else(person: Person, native: App, uri: str) -> None:
    """The port is free, the rest is not."""
    answer = await person.browser.open(native.ask(new_verifier(), redirect_uri=uri))
    assert (answer.status_code, "location" in answer.headers) == (400, False)


async def test_a_confidential_client_has_no_free_port(person: Person) -> None:
    """The exception is for native clients, which cannot know their port."""
    app = await person.register(redirect_uris=["http://127.0.0.1:8080/cb"])
    answer = await person.browser.open(app.ask(new_verifier(), redirect_uri="http://127.0.0.1:8081/cb"))
    assert (answer.status_code, "location" in answer.headers) == (400, False)


async def test_a_uri_with_a_query_keeps_it(person: Person) -> None:
    """OAuth 2.1, 2.3: a registered query is kept, and the answer comes behind it."""
    app = await person.register(redirect_uris=["https://client.example/cb?tenant=1"])
    given = await person.browser.allow(app.ask(new_verifier()))
    assert given["tenant"] == "1"
    assert "code" in given


UNFIT = [
    "https://client.example/cb#fragment",
    "http://client.example/cb",
    "http://localhost/cb",
    "https://*.example/cb",
    "https://user@client.example/cb",
    "javascript:alert(1)",
    "data:text/html,x",
    "/cb",
    "https://",
    "https://client.example/ cb",
    "https://client.example;script-src",
    "https://client.example,x/cb",
    "https://client%2eexample/cb",
    "https://(client.example)/cb",
    "",
]


@pytest.mark.parametrize("uri", UNFIT)
async def test_some_uris_cannot_be_registered(person: Person, uri: str) -> None:
    """What could not be compared or kept safe."""
    body = {"name": "x", "roles": [], "grant_types": [CODE, REFRESH], "redirect_uris": [uri], "scopes": ["report:read"]}
    headers = {"Authorization": f"Bearer {person.access_token}"}
    answer = await person.browser.http.post("/v1/clients", json=body, headers=headers)
    assert answer.status_code in (400, 422), answer.text
