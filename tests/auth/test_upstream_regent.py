"""Another Regent is a tenant's identity provider: a whole OpenID provider, as others run it."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.local.nats import Nats
from tests.auth.browsing import browser, register
from tests.auth.idp import Providers, sent, served
from tests.auth.world import Fresh, World, hosted


@pytest.fixture
async def regent(fresh: Fresh, other_nats: Nats, idps: Providers, tmp_path: Path) -> AsyncIterator[World]:
    """Yield another Regent, served on loopback under its own issuer."""
    issuer = f"http://127.0.0.1:{idps.second}"
    async with hosted(fresh.urls, other_nats, tmp_path, public_url=issuer) as opened, served(opened.app, idps.second):
        yield opened


async def test_a_whole_openid_provider_logs_in(world: World, regent: World, idps: Providers) -> None:
    """S10: registered, linked and used with its discovery, its keys, its codes and its ID tokens."""
    here, there = await register(await world.tenant()), await regent.tenant()
    theirs = await register(there, scopes=["openid", "email", "profile"])
    body = {"name": "Regent", "issuer": f"http://127.0.0.1:{idps.second}", "client_id": theirs.id}
    async with here.tenant.caller() as http:
        made = await http.post("/v1/identity-providers", json={**body, "client_secret": theirs.secret})
        assert made.status_code == 201, made.text
        async with there.caller() as admin:
            shown = await admin.get(f"/v1/clients/{theirs.id}")
            changed = {"name": "Broker", "roles": [], "redirect_uris": [made.json()["redirect_uri"]]}
            headers = {"If-Match": shown.headers["etag"]}
            answer = await admin.put(f"/v1/clients/{theirs.id}", json=changed, headers=headers)
            assert answer.status_code == 200, answer.text
        confirmed = {"provider": made.json()["id"], "password": "correct horse battery staple"}
        location = (await http.post("/v1/me/identities", json=confirmed)).json()["location"]
        linked = await http.get(await through(regent, location, there.email))
        assert "Linked" in linked.text, linked.text
    async with browser(world) as person:
        location = await sent(person, here, made.json()["id"])
        answer = await person.http.get(await through(regent, location, there.email))
        assert "__Host-regent_session" in answer.headers.get("set-cookie", ""), answer.text


async def through(regent: World, location: str, email: str) -> str:
    """Go through the other Regent as its user; returns the way back."""
    async with browser(regent) as person:
        page = await person.open(urlsplit(location).query)
        page = await person.log_in(page, email)
        if page.status_code == 200:
            page = await person.submit(page, decision="allow")
        assert page.status_code == 303, page.text
        back = urlsplit(page.headers["location"])
        return f"{back.path}?{back.query}"
