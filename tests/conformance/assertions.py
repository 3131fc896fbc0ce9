"""Assertions by which a client with a key says who it is (RFC 7523), sound or with something changed."""

import time
from typing import Any
from uuid import uuid4

import httpx
from joserfc.jwk import ECKey

from tests.conformance.server import CLIENT, App
from tests.conformance.tokens import signed

KEY, OTHER = (ECKey.generate_key("P-256", {"kid": kid}, private=True) for kid in ("client-1", "client-2"))
KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
URL = "/oauth2/token"


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
