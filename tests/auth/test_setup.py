"""The one-time set-up link makes the first tenant."""

import asyncio
import re
from datetime import timedelta
from uuid import UUID, uuid4

import httpx

from libs.common.context import utc_now
from services.auth import operator
from services.auth.api.sessions import Setup
from tests.auth.world import PASSWORD, PUBLIC_URL, World


async def link(world: World, age: timedelta = timedelta(0)) -> str:
    text = await operator.create_setup_link(world.runtime.database, utc_now() - age, PUBLIC_URL)
    base, _, token = text.partition("#")
    assert base == f"{PUBLIC_URL}/setup"
    return token


async def use(world: World, token: str, **changed: str) -> httpx.Response:
    email = f"{uuid4().hex}@example.com"
    body = {"token": token, "tenant_name": "First", "email": email, "name": "Ann", "password": PASSWORD, **changed}
    async with world.client() as http:
        return await http.post("/v1/setup", json=body)


async def test_a_link_makes_a_tenant_with_its_owner(world: World) -> None:
    """Whoever has the link is the owner, and logged in."""
    answer = await use(world, await link(world))
    assert answer.status_code == 201, answer.text
    async with world.client() as http:
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        me = (await http.get("/v1/me")).json()
    assert (me["id"], me["roles"]) == (answer.json()["user_id"], ["owner"])
    said = [event["type"] for event in await world.outbox(UUID(answer.json()["tenant_id"]))]
    assert said == ["auth.tenant.created.v1", "auth.user.created.v1", "auth.session.opened.v1"]


async def test_the_links_page_sends_what_its_route_takes(world: World) -> None:
    """The link opens a page whose form has exactly the fields of the route, labelled; the token stays in the browser."""
    async with world.client() as http:
        page = await http.get("/setup")
    fields = re.findall(r'<input id="(\w+)" name="(\w+)"', page.text)
    assert {name for _, name in fields} | {"token"} == set(Setup.model_fields)
    assert {id_ for id_, _ in fields} == set(re.findall(r'<label for="(\w+)"', page.text))
    assert '<form method="post" action="/v1/setup"' in page.text
    assert " data-token" in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]


async def test_a_link_works_once(world: World) -> None:
    """Of five at once one makes a tenant; a later one none."""
    token = await link(world)
    answers = await asyncio.gather(*(use(world, token) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 403, 403, 403, 403]
    assert (await use(world, token)).json()["type"] == "urn:regent:problem:setup-link"


async def test_an_old_a_replaced_and_an_invented_link_do_nothing(world: World) -> None:
    """Links expire after a day, and a newer one ends the earlier."""
    expired = await link(world, timedelta(hours=25))
    replaced = await link(world)
    newest = await link(world)
    statuses = [(await use(world, token)).status_code for token in (expired, replaced, "su_invented", newest)]
    assert statuses == [403, 403, 403, 201]


async def test_a_refused_password_leaves_the_link_usable(world: World) -> None:
    """A mistake in the form does not lock the operator out."""
    token = await link(world)
    assert (await use(world, token, password="short")).status_code == 422
    assert (await use(world, token)).status_code == 201
