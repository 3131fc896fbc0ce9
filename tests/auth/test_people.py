"""Users, roles and clients of a tenant: who may change whom, and what is said of it."""

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from services.auth.commands.roles import predefined_id
from tests.auth.world import PASSWORD, Tenant, World


@pytest.fixture
async def owner(tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with tenant.caller() as http:
        yield http


@pytest.fixture
async def admin(tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    _, email = await tenant.user("admin")
    async with tenant.caller(email) as http:
        yield http


def person(*roles: str) -> dict[str, object]:
    return {"email": f"{uuid4().hex}@example.com", "name": "Nora New", "roles": list(roles)}


async def test_a_user_is_made_changed_and_listed(owner: httpx.AsyncClient, tenant: Tenant) -> None:
    """A user's life under If-Match, with one event for each change (S39)."""
    id_, _ = await tenant.user("viewer")
    path = f"/v1/users/{id_}"
    made = await owner.get(path)
    stale = await owner.put(path, json={"name": "N", "roles": ["viewer"]}, headers={"If-Match": '"7"'})
    assert stale.status_code == 412
    changed = await owner.put(
        path, json={"name": "Nora Newer", "roles": ["operator"]}, headers={"If-Match": made.headers["etag"]}
    )
    assert (changed.status_code, changed.json()["roles"]) == (200, ["operator"])
    listed = (await owner.get("/v1/users")).json()["items"]
    assert {user["id"] for user in listed} == {made.json()["id"], str(tenant.owner)}
    said = [event["type"] for event in await tenant.world.outbox(tenant.id) if event["subject"] == made.json()["id"]]
    assert said == ["auth.user.created.v1", "auth.user.updated.v1"]


async def test_users_are_paged(owner: httpx.AsyncClient, tenant: Tenant) -> None:
    """The cursor walks over everybody once."""
    for _ in range(3):
        await tenant.user()
    seen, following = [], ""
    while following is not None:
        page = (
            await owner.get("/v1/users", params={"limit": 2, **({"cursor": following} if following else {})})
        ).json()
        seen += [user["id"] for user in page["items"]]
        following = page["next"]
    assert len(seen) == len(set(seen)) == 4


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "no address"}, "/email"),
        ({"password": PASSWORD}, "/password"),
        ({"roles": ["emperor"]}, "/roles/0"),
        ({"roles": ["a\x00b"]}, "/roles/0"),
        ({"roles": ["platform_operator"]}, "/roles/0"),
        ({"roles": ["viewer", "viewer"]}, "/roles"),
        ({"name": ""}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"extra": 1}, "/extra"),
    ],
)
async def test_a_wrong_user_names_the_field(owner: httpx.AsyncClient, change: dict[str, object], field: str) -> None:
    """A refusal says which field is wrong (S27)."""
    answer = await owner.post("/v1/users", json={**person("viewer"), **change})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


async def test_an_address_is_a_user_once(owner: httpx.AsyncClient, tenant: Tenant) -> None:
    """Who is a user is not invited again."""
    _, email = await tenant.user("viewer")
    assert (await owner.post("/v1/users", json={**person("viewer"), "email": email})).status_code == 409


async def test_nobody_makes_themselves_more(tenant: Tenant, owner: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    """An administrator gives work to others, but neither ownership nor anything to themselves."""
    assert (await admin.post("/v1/users", json=person("report_manager"))).status_code == 202
    assert (await admin.post("/v1/users", json=person("owner"))).status_code == 403
    me = (await admin.get("/v1/me")).json()
    own = await admin.get(f"/v1/users/{me['id']}")
    mine = {"name": "A", "roles": ["admin", "report_manager"]}
    raised = await admin.put(f"/v1/users/{me['id']}", json=mine, headers={"If-Match": own.headers["etag"]})
    assert raised.status_code == 403
    assert (await admin.post(f"/v1/users/{tenant.owner}/disable")).status_code == 403
    assert (await owner.post(f"/v1/users/{me['id']}/disable")).status_code == 200


async def test_own_roles_come_change_and_go(tenant: Tenant, owner: httpx.AsyncClient, world: World) -> None:
    """A role works as soon as somebody has it, and stays while they do."""
    made = await owner.post("/v1/roles", json={"name": "starter", "permissions": ["run:start", "tenant:read"]})
    assert made.status_code == 201, made.text
    path = made.headers["location"]
    id_, secret = await tenant.oauth_client("starter")
    assert (await world.token_for(id_, secret)).json()["scope"] == "run:start tenant:read"
    narrower = await owner.put(path, json={"permissions": ["run:start"]}, headers={"If-Match": made.headers["etag"]})
    assert narrower.status_code == 200
    assert (await world.token_for(id_, secret)).json()["scope"] == "run:start"
    assert (await owner.delete(path)).json()["type"] == "urn:regent:problem:role-in-use"
    assert (await owner.delete(f"/v1/clients/{id_}")).status_code == 204
    assert (await owner.delete(path)).status_code == 204
    assert (await owner.get(path)).status_code == 404


async def test_predefined_roles_stay_as_they_are(owner: httpx.AsyncClient) -> None:
    """Their names are taken and their permissions fixed."""
    path = f"/v1/roles/{predefined_id('viewer')}"
    assert (await owner.get(path)).json()["predefined"] is True
    taken = await owner.post("/v1/roles", json={"name": "viewer", "permissions": []})
    changed = await owner.put(path, json={"permissions": []}, headers={"If-Match": '"1"'})
    assert [taken.status_code, changed.status_code, (await owner.delete(path)).status_code] == [409, 409, 409]


@pytest.mark.parametrize("permission", ["platform:tenants", "platform:*", "*", "*:*", "run:fly", "run"])
async def test_a_role_gives_only_what_its_tenant_has(owner: httpx.AsyncClient, permission: str) -> None:
    """The platform's permissions and invented ones are in no tenant's role."""
    answer = await owner.post("/v1/roles", json={"name": "bad", "permissions": [permission]})
    assert answer.status_code in (403, 422)


async def test_a_secret_is_shown_once_and_rotates_with_an_overlap(owner: httpx.AsyncClient, world: World) -> None:
    """Old and new secret work during the overlap; without one the old and its tokens are void."""
    made = (await owner.post("/v1/clients", json={"name": "erp", "roles": ["integrator"]})).json()
    id_, first = made["client_id"], made["client_secret"]
    assert first not in (await owner.get(f"/v1/clients/{id_}")).text
    second = (await owner.post(f"/v1/clients/{id_}/rotate", json={"overlap_seconds": 60})).json()["client_secret"]
    assert [(await world.token_for(id_, one)).status_code for one in (first, second)] == [200, 200]
    third = (await owner.post(f"/v1/clients/{id_}/rotate", json={"overlap_seconds": 0})).json()["client_secret"]
    statuses = [(await world.token_for(id_, one)).status_code for one in (first, second, third)]
    assert statuses == [401, 401, 200]


async def test_a_repeated_request_makes_one_client_and_shows_no_secret_again(
    owner: httpx.AsyncClient, tenant: Tenant, world: World
) -> None:
    """The kept answer of an Idempotency-Key holds no secret."""
    body, key = {"name": "erp", "roles": []}, {"Idempotency-Key": "k-1"}
    first = await owner.post("/v1/clients", json=body, headers=key)
    again = await owner.post("/v1/clients", json=body, headers=key)
    assert again.json() == {**first.json(), "client_secret": None}
    assert len((await owner.get("/v1/clients")).json()["items"]) == 1


async def test_a_revoked_client_goes_on_under_another_grant(
    owner: httpx.AsyncClient, tenant: Tenant, world: World
) -> None:
    """Revoking voids the tokens given out; the secret still gets new ones."""
    id_, secret = await tenant.oauth_client("viewer")
    grants = (await owner.get("/v1/grants", params={"subject": f"client:{id_}"})).json()["items"]
    assert (await owner.post(f"/v1/grants/{grants[0]['id']}/revoke")).status_code == 204
    assert (await owner.post(f"/v1/grants/{grants[0]['id']}/revoke")).status_code == 409
    assert (await world.token_for(id_, secret)).status_code == 200


async def test_who_may_not_is_told_what_is_missing(tenant: Tenant) -> None:
    """A viewer changes nothing, and reads neither people nor grants."""
    _, email = await tenant.user("viewer")
    async with tenant.caller(email) as viewer:
        answers = [
            await viewer.get("/v1/users"),
            await viewer.post("/v1/users", json=person()),
            await viewer.post("/v1/clients", json={"name": "x", "roles": []}),
            await viewer.get("/v1/grants"),
            await viewer.post("/v1/tenants", json={}),
            await viewer.get("/v1/tenants/current"),
        ]
    assert [answer.status_code for answer in answers] == [403, 403, 403, 403, 403, 200]
    assert answers[0].json()["permission"] == "user:read"


async def test_without_a_token_nothing_opens(world: World) -> None:
    """No token, a token in the URL, two headers: 401 with a challenge."""
    async with world.client() as http:
        answers = [
            await http.get("/v1/users"),
            await http.get("/v1/users?access_token=x"),
            await http.get("/v1/users", headers=[("Authorization", "Bearer a"), ("Authorization", "Bearer b")]),
            await http.post("/v1/clients", json={"name": "x", "roles": []}),
        ]
    assert [answer.status_code for answer in answers] == [401] * 4
    assert answers[0].headers["www-authenticate"].startswith("Bearer")
