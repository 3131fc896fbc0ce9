"""Proofs of a key's possession (RFC 9449), sound or with something changed, and tokens bound to the key."""

import hashlib
import time
from typing import Any
from uuid import uuid4

import httpx
from joserfc.jwk import ECKey

from tests.conformance.server import API, CODE, App, Person
from tests.conformance.tokens import part, signed

KEY, OTHER = (ECKey.generate_key("P-256", private=True) for _ in range(2))
TOKEN = "/oauth2/token"


def proof(app: App, method: str = "POST", path: str = TOKEN, **changed: Any) -> str:
    """Return a proof; `header`, `key` and claims can be changed, None leaves one out."""
    key, header = changed.pop("key", KEY), changed.pop("header", {})
    claims = {"jti": str(uuid4()), "htm": method, "htu": app.server.url + path, "iat": int(time.time()), **changed}
    said = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False), **header}
    left = [{name: value for name, value in one.items() if value is not None} for one in (said, claims)]
    return signed(left[0], left[1], key)


def ath(token: str) -> str:
    """Return a token's hash as a proof holds it."""
    return part(hashlib.sha256(token.encode()).digest())


async def given(person: Person, app: App) -> dict[str, Any]:
    """Go the whole way with the key."""
    code, verifier = await person.code(app)
    form = {"grant_type": CODE, "code": code, "redirect_uri": app.uri, "code_verifier": verifier}
    answer = await app.token(headers={"DPoP": proof(app)}, **form)
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


async def call(app: App, token: str, *proofs: str, scheme: str = "DPoP") -> httpx.Response:
    """Call another service with a token and proofs."""
    headers = [("Authorization", f"{scheme} {token}"), *(("DPoP", text) for text in proofs)]
    return await app.http.get(API, headers=headers)
