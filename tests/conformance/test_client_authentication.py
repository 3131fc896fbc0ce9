"""How clients with a secret prove who they are (OAuth 2.1, 2.4): one way, or one refusal."""

import base64
from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.conformance.answers import bad
from tests.conformance.assertions import KIND, URL, assertion
from tests.conformance.server import CLIENT, App, Person


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


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
