"""Roles that an identity provider's claim gives: within what whoever set the terms may do, and only as long as it does."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.auth.browsing import App
from tests.auth.idp import JUST_IN_TIME, Provider, attempt, linked, opened, registered, terms
from tests.auth.test_identity_providers import add, faults
from tests.auth.test_refresh import me, until_refused
from tests.auth.test_roles import change, own_role
from tests.auth.test_signup import somebody
from tests.auth.world import Tenant, World

GROUPS = {"ops": ["operator"], "audit": ["auditor"], "both": ["operator", "auditor"]}
CLAIMED: dict[str, Any] = {"roles_claim": "groups", "claimed_roles": GROUPS}


async def roles_of(tenant: Tenant, user: UUID | str) -> list[str]:
    async with tenant.caller() as http:
        return sorted((await http.get(f"/v1/users/{user}")).json()["roles"])


async def member(app: App, provider: Provider, id_: str, **claims: Any) -> tuple[str, str]:
    """Let somebody become a member by a provider; returns their id and address."""
    email = somebody()
    answer = await attempt(app, provider, id_, "nina", email=email, email_verified=True, **claims)
    assert opened(answer), answer.text
    async with app.tenant.caller() as http:
        users = (await http.get("/v1/users")).json()["items"]
    (made,) = [user for user in users if user["email"] == email]
    return made["id"], email


async def again(app: App, provider: Provider, id_: str, email: str, **claims: Any) -> None:
    answer = await attempt(app, provider, id_, "nina", email=email, email_verified=True, **claims)
    assert opened(answer), answer.text


async def test_roles_come_and_go_with_the_claim(app: App, provider: Provider) -> None:
    """Each login says anew; what the terms gave at the first one stays (S10)."""
    id_ = await registered(app.tenant, provider, **JUST_IN_TIME, **CLAIMED)
    user, email = await member(app, provider, id_, groups=["ops", "nothing of ours"])
    assert await roles_of(app.tenant, user) == ["operator", "viewer"]
    for groups, expected in (
        ("audit", ["auditor", "viewer"]),
        (["both"], ["auditor", "operator", "viewer"]),
        ({"ops": True}, ["viewer"]),
        (["both"], ["auditor", "operator", "viewer"]),
        (None, ["viewer"]),
    ):
        await again(app, provider, id_, email, **({} if groups is None else {"groups": groups}))
        assert await roles_of(app.tenant, user) == expected, groups


async def test_what_an_administrator_gave_stays(app: App, provider: Provider) -> None:
    """A claim takes only what a claim has given."""
    id_ = await registered(app.tenant, provider, **JUST_IN_TIME, **CLAIMED)
    user, email = await member(app, provider, id_)
    async with app.tenant.caller() as owner:
        assert (await change(owner, UUID(user), "viewer", "operator")).status_code == 200
    await again(app, provider, id_, email, groups=["both"])
    await again(app, provider, id_, email)
    assert await roles_of(app.tenant, user) == ["operator", "viewer"]


async def test_tokens_end_with_the_role(app: App, provider: Provider, world: World) -> None:
    """A login without the group voids what logins with it left, within a second (S11)."""
    tenant = app.tenant
    id_ = await registered(tenant, provider, **CLAIMED)
    user, email = await tenant.user("viewer")
    await linked(tenant, provider, id_, "nina", email)
    await attempt(app, provider, id_, "nina", groups=["ops"])
    token = (await tenant.login(email))["access_token"]
    assert await roles_of(tenant, user) == ["operator", "viewer"]
    await attempt(app, provider, id_, "nina")
    await until_refused(world, token)
    assert await me(world, (await tenant.login(email))["access_token"]) == 200
    said = [event["data"] for event in await world.outbox(tenant.id) if event["type"] == "auth.user.updated.v1"]
    assert [one["after"]["by_provider"] for one in said] == [id_, id_]


async def test_a_claim_gives_no_more_than_who_set_it_may(app: App, provider: Provider) -> None:
    """Once the administrator who set the terms may less, so does the claim; what is left of it is still given."""
    tenant = app.tenant
    await own_role(tenant, "gatekeeper", "identity_provider:*", "run:read", "report:read", "user:read")
    await own_role(tenant, "reader", "run:read")
    await own_role(tenant, "starter", "run:start")
    admin, by = await tenant.user("admin")
    given = {"roles_claim": "groups", "claimed_roles": {"ops": ["reader", "starter"]}}
    added = await add(tenant, provider, by, **JUST_IN_TIME, **given)
    assert added.status_code == 201, added.text
    id_ = added.json()["id"]
    user, email = await member(app, provider, id_, groups=["ops"])
    assert await roles_of(tenant, user) == ["reader", "starter", "viewer"]
    async with tenant.caller() as owner:
        assert (await change(owner, admin, "gatekeeper")).status_code == 200
    await again(app, provider, id_, email, groups=["ops"])
    assert await roles_of(tenant, user) == ["reader", "viewer"]


async def test_nobody_new_comes_by_terms_that_nobody_answers_for(app: App, provider: Provider) -> None:
    """When whoever set them is gone, the roles of a first login are nobody's to give; saving them again helps."""
    tenant = app.tenant
    admin, by = await tenant.user("admin")
    id_ = (await add(tenant, provider, by, **JUST_IN_TIME)).json()["id"]
    async with tenant.caller() as owner:
        await owner.delete(f"/v1/users/{admin}")
        email = somebody()
        refused = await attempt(app, provider, id_, "nina", email=email, email_verified=True)
        assert (refused.status_code, opened(refused)) == (403, False)
        body = {name: value for name, value in terms(provider, **JUST_IN_TIME).items() if name != "issuer"}
        path = f"/v1/identity-providers/{id_}"
        saved: httpx.Response = await owner.put(path, json=body, headers={"If-Match": '"1"'})
        assert saved.status_code == 200, saved.text
    assert opened(await attempt(app, provider, id_, "nina", email=email, email_verified=True))


UNSOUND: dict[str, tuple[dict[str, Any], str]] = {
    "no claim": ({"claimed_roles": GROUPS}, "/roles_claim"),
    "an owner": ({"roles_claim": "groups", "claimed_roles": {"boss": ["owner"]}}, "/claimed_roles"),
    "a value that cannot be kept": (
        {"roles_claim": "groups", "claimed_roles": {"a\x00": ["viewer"]}},
        "/claimed_roles/a\x00",
    ),
    "a role of nobody": ({"roles_claim": "groups", "claimed_roles": {"x": ["nothing"]}}, "/roles/0"),
}


@pytest.mark.parametrize(("changed", "field"), UNSOUND.values(), ids=UNSOUND.keys())
async def test_terms_make_sense(tenant: Tenant, provider: Provider, changed: dict[str, Any], field: str) -> None:
    """What cannot be given is refused when the terms are set, not at a login."""
    assert field in faults(await add(tenant, provider, **changed))


async def test_a_role_that_a_claim_gives_is_in_use(tenant: Tenant, provider: Provider) -> None:
    """It is not removed under the terms; and who has less than it sets none."""
    path = await own_role(tenant, "starter", "run:start")
    await own_role(tenant, "gatekeeper", "identity_provider:*")
    _, by = await tenant.user("gatekeeper")
    given = {"roles_claim": "groups", "claimed_roles": {"ops": ["starter"]}}
    assert (await add(tenant, provider, by, **given)).status_code == 403
    await registered(tenant, provider, **given)
    async with tenant.caller() as owner:
        assert (await owner.delete(path)).json()["type"] == "urn:regent:problem:role-in-use"


async def disabled(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> httpx.Response:
    return await http.put(path, json={**body, "enabled": False}, headers={"If-Match": '"1"'})


async def narrowed(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> httpx.Response:
    less = {**body, "claimed_roles": {"ops": ["auditor"]}}
    return await http.put(path, json=less, headers={"If-Match": '"1"'})


async def removed(http: httpx.AsyncClient, path: str, _: dict[str, Any]) -> httpx.Response:
    return await http.delete(path)


async def unlinked(http: httpx.AsyncClient, path: str, _: dict[str, Any]) -> httpx.Response:
    (link,) = (await http.get(f"{path}/identities")).json()["items"]
    assert link["given_roles"] == ["operator"]
    return await http.post(f"{path}/identities/{link['id']}/unlink")


@pytest.mark.parametrize("end", [disabled, narrowed, removed, unlinked])
async def test_what_a_claim_gave_ends_with_what_it_rests_on(
    app: App, provider: Provider, world: World, end: Callable[..., Awaitable[httpx.Response]]
) -> None:
    """Without a login: when the provider is disabled or removed, its terms give less, or the link goes (S11)."""
    tenant = app.tenant
    id_ = await registered(tenant, provider, **CLAIMED)
    user, email = await tenant.user("viewer")
    await linked(tenant, provider, id_, "nina", email)
    await attempt(app, provider, id_, "nina", groups=["ops"])
    assert await roles_of(tenant, user) == ["operator", "viewer"]
    token = (await tenant.login(email))["access_token"]
    body = {name: value for name, value in terms(provider, **CLAIMED).items() if name != "issuer"}
    async with tenant.caller() as owner:
        answer = await end(owner, f"/v1/identity-providers/{id_}", body)
        assert answer.status_code in (200, 204), answer.text
    assert await roles_of(tenant, user) == ["viewer"]
    await until_refused(world, token)
