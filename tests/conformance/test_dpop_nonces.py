"""Proofs with the server's nonces (RFC 9449, chapters 8 and 9)."""

from typing import Any

import httpx
import pytest

from tests.conformance.answers import bad
from tests.conformance.proofs import ath, call, proof
from tests.conformance.server import API, CALLBACK, CODE, App, Person


@pytest.fixture(scope="module")
async def nonced(person: Person) -> App:
    """Return a client whose proofs have to carry nonces."""
    return await person.register(dpop=True, dpop_nonce=True, redirect_uris=[CALLBACK])


async def asked_for(answer: httpx.Response) -> str:
    """Expect that a service asks for a nonce; returns the one that it gives."""
    assert answer.status_code == 401
    scheme, _, said = answer.headers["www-authenticate"].partition(" ")
    assert (scheme, 'error="use_dpop_nonce"' in said) == ("DPoP", True)
    (nonce,) = answer.headers.get_list("dpop-nonce")
    return nonce


async def nonced_tokens(person: Person, app: App) -> tuple[str, str]:
    """Go the whole way with the nonces that the server asks for; returns an access token and the last nonce."""
    code, verifier = await person.code(app)
    form = {"grant_type": CODE, "code": code, "redirect_uri": app.uri, "code_verifier": verifier}
    first = await app.token(headers={"DPoP": proof(app)}, **form)
    await bad(first, "use_dpop_nonce")
    (nonce,) = first.headers.get_list("dpop-nonce")
    answer = await app.token(headers={"DPoP": proof(app, nonce=nonce)}, **form)
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"], answer.headers["dpop-nonce"]


async def test_a_service_asks_for_a_nonce(person: Person, nonced: App) -> None:
    """401 with the challenge and a nonce, then the answer with the one to use next (8.2, 9)."""
    token, _ = await nonced_tokens(person, nonced)
    nonce = await asked_for(await call(nonced, token, proof(nonced, "GET", API, ath=ath(token))))
    answer = await call(nonced, token, proof(nonced, "GET", API, ath=ath(token), nonce=nonce))
    assert answer.status_code == 200, answer.text
    (following,) = answer.headers.get_list("dpop-nonce")
    assert (await call(nonced, token, proof(nonced, "GET", API, ath=ath(token), nonce=following))).status_code == 200


@pytest.mark.parametrize("nonce", ["", "invented", "n" * 3000, "ü"])
async def test_an_invented_nonce_is_none(person: Person, nonced: App, nonce: str) -> None:
    """It is answered with one that is good, and the same key and token go on with it."""
    token, _ = await nonced_tokens(person, nonced)
    good = await asked_for(await call(nonced, token, proof(nonced, "GET", API, ath=ath(token), nonce=nonce)))
    assert (await call(nonced, token, proof(nonced, "GET", API, ath=ath(token), nonce=good))).status_code == 200


async def test_a_nonce_is_good_at_every_service(person: Person, nonced: App) -> None:
    """Clients keep them by origin: the one that came with the token is good behind the same gateway."""
    token, nonce = await nonced_tokens(person, nonced)
    for path in (API, "/v1/me"):
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof(nonced, "GET", path, ath=ath(token), nonce=nonce)}
        assert (await nonced.http.get(path, headers=headers)).status_code == 200, path


async def test_a_nonce_is_asked_of_nobody_else(bound: App, held: dict[str, Any]) -> None:
    """Who needs none may leave it out; who sends one sends ours."""
    token = held["access_token"]
    answer = await call(bound, token, proof(bound, "GET", API, ath=ath(token)))
    assert (answer.status_code, "dpop-nonce" in answer.headers) == (200, False)
    await asked_for(await call(bound, token, proof(bound, "GET", API, ath=ath(token), nonce="invented")))
