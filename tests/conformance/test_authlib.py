"""Authlib's client and its reading of RFC 8414, against the running service."""

import secrets
from typing import Any

import httpx
import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

from tests.auth.browsing import CALLBACK, App, browser, register
from tests.auth.world import PUBLIC_URL, Tenant, World

pytestmark = pytest.mark.filterwarnings("ignore")  # Authlib announces its next version's httpx by a warning
TOKEN_URL = f"{PUBLIC_URL}/oauth2/token"


def library_client(app: App, method: str, **more: Any) -> Any:
    """Return Authlib's client, talking to the service in this process."""
    transport = httpx.ASGITransport(app.world.app)
    return AsyncOAuth2Client(
        app.id,
        app.secret,
        redirect_uri=CALLBACK,
        token_endpoint_auth_method=method,
        code_challenge_method="S256",
        transport=transport,
        **more,
    )


async def test_metadata_is_valid(world: World) -> None:
    """What the service says of itself passes RFC 8414's rules."""
    async with world.client() as http:
        shown = (await http.get("/.well-known/oauth-authorization-server")).json()
    AuthorizationServerMetadata(shown).validate()


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_a_library_goes_the_whole_way(tenant: Tenant, method: str) -> None:
    """Code with PKCE and state, refresh, introspection, revocation."""
    app, verifier = await register(tenant), secrets.token_urlsafe(48)
    async with library_client(app, method, scope="run:read offline_access") as client:
        url, _ = client.create_authorization_url(f"{PUBLIC_URL}/oauth2/authorize", code_verifier=verifier)
        async with browser(app.world) as person:
            page = await person.http.get(url)
            answer = await person.submit(await person.log_in(page, tenant.email), decision="allow")
        location = answer.headers["location"]
        first = await client.fetch_token(TOKEN_URL, authorization_response=location, code_verifier=verifier)
        second = await client.refresh_token(TOKEN_URL, refresh_token=first["refresh_token"])
        assert second["refresh_token"] != first["refresh_token"]
        shown = await client.introspect_token(f"{PUBLIC_URL}/oauth2/introspect", token=second["access_token"])
        assert shown.json()["active"]
        assert (
            await client.revoke_token(f"{PUBLIC_URL}/oauth2/revoke", token=second["refresh_token"])
        ).status_code == 200
        shown = await client.introspect_token(f"{PUBLIC_URL}/oauth2/introspect", token=second["refresh_token"])
        assert shown.json() == {"active": False}


async def test_a_library_gets_a_token_for_itself(tenant: Tenant) -> None:
    """Client credentials."""
    app = await register(tenant, grant_types=["client_credentials"], redirect_uris=[], scopes=None, roles=["viewer"])
    async with library_client(app, "client_secret_basic") as client:
        token = await client.fetch_token(TOKEN_URL, grant_type="client_credentials", scope="run:read")
    assert token["scope"] == "run:read"
