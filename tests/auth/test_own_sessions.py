"""People see their own logins and end them: one, or all of them everywhere."""

from libs.common.context import utc_now
from services.auth import operator
from tests.auth.test_reset import refresh, refused
from tests.auth.test_signup import post
from tests.auth.world import PASSWORD, Tenant, World


async def test_one_sees_ones_own_logins_only(tenant: Tenant) -> None:
    """The list holds the caller's live logins, not those of colleagues and not those that ended."""
    _, colleague = await tenant.user("viewer")
    await tenant.login(colleague)
    await tenant.login()
    async with tenant.caller() as gone:
        assert (await gone.post("/v1/logout")).status_code == 204
    async with tenant.caller() as http:
        items = (await http.get("/v1/sessions")).json()["items"]
        me = (await http.get("/v1/me")).json()
    assert len(items) == 2
    assert {item["subject"] for item in items} == {f"user:{tenant.owner}"}
    assert me["grant_id"] in {item["id"] for item in items}


async def test_a_login_is_ended_from_another(world: World, tenant: Tenant) -> None:
    """The lost device's tokens die; this one's live."""
    lost = await tenant.login()
    async with tenant.caller() as http:
        mine = (await http.get("/v1/me")).json()["grant_id"]
        (other,) = [s["id"] for s in (await http.get("/v1/sessions")).json()["items"] if s["id"] != mine]
        assert (await http.post(f"/v1/sessions/{other}/end")).status_code == 204
        assert await refused(world, lost["access_token"])
        assert (await http.get("/v1/me")).status_code == 200
    assert await refresh(world, lost["refresh_token"]) == 400


async def test_nobody_ends_a_colleagues_login(tenant: Tenant) -> None:
    """What is not one's own is not there."""
    _, colleague = await tenant.user("viewer")
    async with tenant.caller(colleague) as theirs:
        grant = (await theirs.get("/v1/me")).json()["grant_id"]
        async with tenant.caller() as http:
            assert (await http.post(f"/v1/sessions/{grant}/end")).status_code == 404
        assert (await theirs.get("/v1/me")).status_code == 200


async def test_logging_out_everywhere(world: World, tenant: Tenant) -> None:
    """All logins in all tenants end, this one too; colleagues stay."""
    second = await world.tenant()
    person = operator.NewPerson(tenant.email, "Olga Owner", PASSWORD)
    await operator.create_user(world.runtime.database, utc_now(), second.id, person, ["viewer"])
    held = []
    for where in (tenant, second):
        body = {"email": tenant.email, "password": PASSWORD, "tenant": str(where.id)}
        held.append((await post(world, "/v1/login", body)).json())
    colleague = await second.login()
    async with world.client() as http:
        http.headers["Authorization"] = f"Bearer {held[0]['access_token']}"
        assert (await http.post("/v1/sessions/end-all")).status_code == 204
    for tokens in held:
        assert await refused(world, tokens["access_token"])
        assert await refresh(world, tokens["refresh_token"]) == 400
    assert await refresh(world, colleague["refresh_token"]) == 200
