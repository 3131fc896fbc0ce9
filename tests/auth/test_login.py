"""People log in, are throttled, and leave no trace of who they were in events."""

from tests.auth.world import PASSWORD, Tenant, World


async def test_a_login_gives_a_token_that_the_api_takes(tenant: Tenant) -> None:
    """The owner logs in and is told who they are."""
    async with tenant.caller() as http:
        answer = await http.get("/v1/me")
    assert answer.status_code == 200
    me = answer.json()
    assert (me["id"], me["tenant"]["id"], me["roles"]) == (str(tenant.owner), str(tenant.id), ["owner"])
    assert "user:*" in me["permissions"]


async def test_a_client_gets_a_token(tenant: Tenant, world: World) -> None:
    """Client credentials give a token with the roles' permissions and no refresh token."""
    id_, secret = await tenant.oauth_client("integrator")
    answer = await world.token_for(id_, secret)
    assert answer.status_code == 200, answer.text
    assert "refresh_token" not in answer.json()
    assert "run:start" in answer.json()["scope"].split()
    assert answer.headers["cache-control"] == "no-store"


async def test_a_wrong_password_and_an_unknown_address_look_the_same(tenant: Tenant, world: World) -> None:
    """Nobody learns who has an account (S10)."""
    bodies = []
    for email, password in ((tenant.email, "x" * 20), ("nobody@example.com", PASSWORD)):
        async with world.client() as http:
            answer = await http.post("/v1/login", json={"email": email, "password": password})
        assert answer.status_code == 401
        bodies.append({name: value for name, value in answer.json().items() if name != "request_id"})
    assert bodies[0] == bodies[1]
