"""Authlib's client and its reading of RFC 8414, against the running stack."""

import time
from typing import Any

import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata
from joserfc.jwk import RSAKey

from tests.conformance.server import CLIENT, App, Person, Server, new_verifier

pytestmark = pytest.mark.filterwarnings("ignore")  # Authlib announces its next version's httpx by a warning


def library_client(app: App, method: str, **more: Any) -> Any:
    """Return Authlib's client of an app."""
    return AsyncOAuth2Client(
        app.id,
        app.secret,
        redirect_uri=app.uri,
        token_endpoint_auth_method=method,
        code_challenge_method="S256",
        **more,
    )


RULES = {
    "/.well-known/oauth-authorization-server": AuthorizationServerMetadata,
    "/.well-known/openid-configuration": OpenIDProviderMetadata,
}


@pytest.mark.parametrize("path", RULES)
async def test_metadata_is_valid(server: Server, path: str) -> None:
    """What the service says of itself passes the standards' rules; they want https, which a local stack has not."""
    shown = (await (await server.http()).get(path)).json()
    secure = {
        name: value.replace("http://", "https://", 1) if isinstance(value, str) else value
        for name, value in shown.items()
    }
    RULES[path](secure).validate()


async def test_the_provider_is_valid(server: Server) -> None:
    """What it says as an OpenID provider passes the rules of OpenID Connect Discovery, RS256 among them."""
    shown = (await (await server.http()).get("/.well-known/openid-configuration")).json()
    secure = {
        name: value.replace("http://", "https://", 1) if isinstance(value, str) else value
        for name, value in shown.items()
    }
    OpenIDProviderMetadata(secure).validate()


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_a_library_goes_the_whole_way(person: Person, method: str) -> None:
    """Code with PKCE and state, refresh, introspection, revocation."""
    app, verifier, url = await person.register(), new_verifier(), person.server.url
    async with library_client(app, method, scope="run:read offline_access") as client:
        asked, _ = client.create_authorization_url(f"{url}/oauth2/authorize", code_verifier=verifier)
        page = await person.browser.open(asked.partition("?")[2])
        location = (await person.browser.submit(page, decision="allow")).headers["location"]
        first = await client.fetch_token(f"{url}/oauth2/token", authorization_response=location, code_verifier=verifier)
        second = await client.refresh_token(f"{url}/oauth2/token", refresh_token=first["refresh_token"])
        assert second["refresh_token"] != first["refresh_token"]
        shown = await client.introspect_token(f"{url}/oauth2/introspect", token=second["access_token"])
        assert shown.json()["active"]
        gone = await client.revoke_token(f"{url}/oauth2/revoke", token=second["refresh_token"])
        assert gone.status_code == 200
        shown = await client.introspect_token(f"{url}/oauth2/introspect", token=second["refresh_token"])
        assert shown.json() == {"active": False}


async def test_a_library_gets_a_token_for_itself(person: Person) -> None:
    """Client credentials."""
    app = await person.register(grant_types=[CLIENT], redirect_uris=[], scopes=None, roles=["viewer"])
    async with library_client(app, "client_secret_basic") as client:
        token = await client.fetch_token(f"{person.server.url}/oauth2/token", grant_type=CLIENT, scope="run:read")
    assert token["scope"] == "run:read"


async def test_the_library_signs_for_itself(person: Person) -> None:
    """private_key_jwt, with the issuer as audience (rfc7523bis) and for minutes: left alone it would say an hour."""
    key = RSAKey.generate_key(2048, {"kid": "one"}, private=True)
    jwks = {"keys": [key.as_dict(private=False)]}
    app = await person.register(grant_types=[CLIENT], redirect_uris=[], scopes=None, roles=["viewer"], jwks=jwks)
    url = f"{person.server.url}/oauth2/token"
    async with AsyncOAuth2Client(app.id, key.as_pem(private=True), token_endpoint_auth_method="private_key_jwt") as one:
        one.register_client_auth_method(
            PrivateKeyJWT(person.server.url, alg="RS256", claims={"exp": int(time.time()) + 60})
        )
        token = await one.fetch_token(url, grant_type=CLIENT, scope="run:read")
    assert token["scope"] == "run:read"
