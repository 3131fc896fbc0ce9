"""A second factor beside the password: enrolled with proof, asked for at login, each code once."""

import asyncio
import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from libs.common.context import Context, utc_now
from libs.common.errors import Unauthenticated
from libs.common.ids import SYSTEM_TENANT
from services.auth import totp
from services.auth.second_step import SecondStep
from tests.auth.world import PASSWORD, Tenant, World


@dataclass(slots=True)
class App:
    """An authenticator app of somebody, with the recovery codes that came with it."""

    id: str
    secret: bytes
    codes: list[str]

    def code(self, *, later: int = 1) -> str:
        """Return the code of the next step, which the service takes for a clock that runs ahead."""
        return totp.code_at(self.secret, totp.step_of(utc_now()) + later)


def keeping(answer: httpx.Response) -> bytes:
    return base64.b32decode(answer.json()["secret"])


async def enrolled(http: httpx.AsyncClient) -> App:
    """Enrol an app by a code of this step, so that the next one is still free."""
    begun = await http.post("/v1/me/factors/totp", json={"password": PASSWORD})
    assert begun.status_code == 201, begun.text
    app = App(begun.json()["id"], keeping(begun), [])
    done = await http.post(f"/v1/me/factors/{app.id}/confirm", json={"code": app.code(later=0)})
    assert done.status_code == 200, done.text
    app.codes = done.json()["recovery_codes"]
    return app


async def owner_with_app(tenant: Tenant) -> App:
    async with tenant.caller() as http:
        return await enrolled(http)


async def first_step(world: World, tenant: Tenant) -> str:
    """Show the password; returns the token for the second step."""
    async with world.client() as http:
        answer = await http.post("/v1/login", json={"email": tenant.email, "password": PASSWORD})
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:regent:problem:second-factor-required")
    assert "access_token" not in answer.text
    token: str = answer.json()["token"]
    return token


async def second_step(world: World, token: str, code: str) -> httpx.Response:
    async with world.client() as http:
        return await http.post("/v1/login/second-factor", json={"token": token, "code": code})


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (2000000000, "279037")],
)
def test_codes_are_those_of_the_standard(seconds: int, code: str) -> None:
    """The test vectors of RFC 6238, appendix B, as six digits."""
    secret, now = b"12345678901234567890", datetime.fromtimestamp(seconds, UTC)
    assert totp.code_at(secret, totp.step_of(now)) == code
    assert totp.matching_step(secret, code, now + timedelta(seconds=30), 0) == totp.step_of(now)
    assert totp.matching_step(secret, code, now + timedelta(seconds=61), 0) is None
    assert totp.matching_step(secret, code, now, totp.step_of(now)) is None


async def test_a_password_and_a_code_open(tenant: Tenant, world: World) -> None:
    """With a confirmed app the password alone gives no token; with a code it does (S10)."""
    app = await owner_with_app(tenant)
    answer = await second_step(world, await first_step(world, tenant), app.code())
    assert answer.status_code == 200, answer.text
    async with world.client() as http:
        me = await http.get("/v1/me", headers={"Authorization": f"Bearer {answer.json()['access_token']}"})
    assert me.json()["id"] == str(tenant.owner)


async def test_an_app_that_was_never_confirmed_is_not_asked_for(tenant: Tenant) -> None:
    """Nobody locks themselves out by a secret that never reached their app."""
    async with tenant.caller() as http:
        begun = await http.post("/v1/me/factors/totp", json={"password": PASSWORD})
        wrong = await http.post(f"/v1/me/factors/{begun.json()['id']}/confirm", json={"code": "000000"})
    assert wrong.status_code == 422
    assert "access_token" in await tenant.login()


async def test_enrolling_and_removing_ask_for_the_password(tenant: Tenant) -> None:
    """A stolen token neither adds a factor nor takes one away."""
    async with tenant.caller() as http:
        app = await enrolled(http)
        wrong = {"password": "not the password of it"}
        answers = [
            await http.post("/v1/me/factors/totp", json=wrong),
            await http.post(f"/v1/me/factors/{app.id}/remove", json=wrong),
        ]
        assert [answer.status_code for answer in answers] == [401, 401]
        assert (await http.post(f"/v1/me/factors/{app.id}/remove", json={"password": PASSWORD})).status_code == 204
        shown = (await http.get("/v1/me/factors")).json()
    assert shown == {"items": [], "recovery_codes_left": 0}
    assert "access_token" in await tenant.login()


async def test_a_slip_in_the_password_asks_for_no_challenge(tenant: Tenant) -> None:
    """Whoever is logged in may err three times and is still heard; there is no page to solve anything on."""
    async with tenant.caller() as http:
        for _ in range(3):
            await http.post("/v1/me/factors/totp", json={"password": "not the password of it"})
        assert (await http.post("/v1/me/factors/totp", json={"password": PASSWORD})).status_code == 201


async def test_a_code_works_once(tenant: Tenant, world: World) -> None:
    """A code that somebody watched is of no use to them, in its time step or an earlier one."""
    app = await owner_with_app(tenant)
    code, earlier = app.code(), app.code(later=0)
    assert (await second_step(world, await first_step(world, tenant), code)).status_code == 200
    for used in (code, earlier):
        refused = await second_step(world, await first_step(world, tenant), used)
        assert (refused.status_code, refused.json()["type"]) == (401, "urn:regent:problem:wrong-code")


async def test_parallel_uses_of_a_code_open_once(tenant: Tenant, world: World) -> None:
    """Of several logins with one code at once, one succeeds."""
    app = await owner_with_app(tenant)
    tokens = [await first_step(world, tenant) for _ in range(4)]
    code = app.code()
    answers = await asyncio.gather(*(second_step(world, token, code) for token in tokens))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


async def test_the_token_of_the_first_step_works_once(tenant: Tenant, world: World) -> None:
    """A completed login cannot be completed again, with whatever code."""
    app = await owner_with_app(tenant)
    token = await first_step(world, tenant)
    assert (await second_step(world, token, app.code())).status_code == 200
    assert (await second_step(world, token, app.codes[0])).status_code == 401
    assert (await second_step(world, "lg_invented", app.codes[0])).status_code == 401


async def test_the_token_of_the_first_step_expires(tenant: Tenant, world: World) -> None:
    """After five minutes the login begins again."""
    app = await owner_with_app(tenant)
    token = await first_step(world, tenant)
    async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "service:test")) as tx:
        await tx.connection.execute("DELETE FROM pending_login WHERE expires_at < $1", utc_now() + timedelta(minutes=4))
        left = await tx.connection.fetchval("SELECT expires_at FROM pending_login WHERE identity_id = $1", tenant.owner)
    assert left <= utc_now() + timedelta(minutes=5)
    way = world.runtime.extras["auth"]
    step = SecondStep(
        world.runtime.database, way, Context(SYSTEM_TENANT, "anonymous", utc_now() + timedelta(minutes=5, seconds=1))
    )
    with pytest.raises(Unauthenticated):
        await step.complete(token, app.codes[0])


async def test_five_wrong_codes_close_the_second_step(tenant: Tenant, world: World) -> None:
    """Who knows the password guesses no code: five failures, and a new first step changes nothing (S10)."""
    app = await owner_with_app(tenant)
    for _ in range(5):
        assert (await second_step(world, await first_step(world, tenant), "000000")).status_code == 401
    refused = await second_step(world, await first_step(world, tenant), app.code())
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0


async def test_recovery_codes_open_once_each(tenant: Tenant, world: World) -> None:
    """Who lost the app comes in by a recovery code, written as they like, once."""
    app = await owner_with_app(tenant)
    assert len(set(app.codes)) == 10
    spelled = app.codes[0].upper().replace("-", " ")
    assert (await second_step(world, await first_step(world, tenant), spelled)).status_code == 200
    assert (await second_step(world, await first_step(world, tenant), app.codes[0])).status_code == 401
    other = await world.tenant()
    await owner_with_app(other)
    assert (await second_step(world, await first_step(world, other), app.codes[1])).status_code == 401


async def test_new_recovery_codes_end_the_old_ones(tenant: Tenant, world: World) -> None:
    """Replacing them voids those on the lost sheet of paper."""
    async with tenant.caller() as http:
        app = await enrolled(http)
        fresh = (await http.post("/v1/me/recovery-codes", json={"password": PASSWORD})).json()["recovery_codes"]
        assert (await http.get("/v1/me/factors")).json()["recovery_codes_left"] == 10
    assert (await second_step(world, await first_step(world, tenant), app.codes[0])).status_code == 401
    assert (await second_step(world, await first_step(world, tenant), fresh[0])).status_code == 200


async def test_a_tenant_can_require_a_second_factor(tenant: Tenant, world: World) -> None:
    """Who has none enrols one on the way in, and gets recovery codes with the tokens."""
    async with tenant.caller() as http:
        changed = await http.put("/v1/tenants/current/policy", json={"second_factor": "required"})
        assert changed.json()["second_factor"] == "required"
    token = await first_step(world, tenant)
    async with world.client() as http:
        begun = await http.post("/v1/login/second-factor/enrol", json={"token": token})
        assert begun.status_code == 201, begun.text
    app = App(begun.json()["id"], keeping(begun), [])
    assert (await second_step(world, token, "000000")).status_code == 401
    answer = await second_step(world, token, app.code(later=0))
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["recovery_codes"]) == 10
    assert (await second_step(world, await first_step(world, tenant), app.code())).status_code == 200


async def test_who_has_a_factor_cannot_enrol_another_by_the_password_alone(tenant: Tenant, world: World) -> None:
    """The way in does not lead around the factor that is there."""
    await owner_with_app(tenant)
    token = await first_step(world, tenant)
    async with world.client() as http:
        refused = await http.post("/v1/login/second-factor/enrol", json={"token": token})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:regent:problem:factor-exists")


async def test_a_user_disabled_between_the_steps_stays_out(tenant: Tenant, world: World) -> None:
    """The second step looks again at who may enter."""
    user, email = await tenant.user("viewer")
    async with tenant.caller(email) as http:
        app = await enrolled(http)
    async with world.client() as http:
        begun = await http.post("/v1/login", json={"email": email, "password": PASSWORD})
    async with tenant.caller() as owner:
        assert (await owner.post(f"/v1/users/{user}/disable")).status_code == 200
    assert (await second_step(world, begun.json()["token"], app.code())).status_code == 401


async def test_only_owners_set_the_policy(tenant: Tenant) -> None:
    """What logins need is the tenant's to say (S10)."""
    _, email = await tenant.user("admin")
    async with tenant.caller(email) as http:
        refused = await http.put("/v1/tenants/current/policy", json={"second_factor": "required"})
    assert refused.status_code == 403


async def test_factors_are_the_callers_own(tenant: Tenant, world: World) -> None:
    """Another person's factor is not found, and a client has none."""
    app = await owner_with_app(tenant)
    other = await world.tenant()
    async with other.caller() as http:
        assert (await http.post(f"/v1/me/factors/{app.id}/confirm", json={"code": app.code()})).status_code == 404
        removal = await http.post(f"/v1/me/factors/{app.id}/remove", json={"password": PASSWORD})
        assert removal.status_code == 404
        assert (await http.get("/v1/me/factors")).json()["items"] == []
    client, secret = await tenant.oauth_client("viewer")
    token = (await world.token_for(client, secret)).json()["access_token"]
    async with world.client() as http:
        refused = await http.get("/v1/me/factors", headers={"Authorization": f"Bearer {token}"})
    assert refused.status_code == 403


async def test_what_happens_to_factors_is_told_without_secrets(tenant: Tenant, world: World) -> None:
    """Enrolment, use, refusal and removal are events of the tenant; no code and no secret is in them (S39)."""
    async with tenant.caller() as http:
        app = await enrolled(http)
        await second_step(world, await first_step(world, tenant), app.codes[0])
        await second_step(world, await first_step(world, tenant), app.codes[0])
        await http.post(f"/v1/me/factors/{app.id}/remove", json={"password": PASSWORD})
    events: list[dict[str, Any]] = [e for e in await world.outbox(tenant.id) if ".factor." in e["type"]]
    assert [e["type"].split(".")[2] for e in events] == ["enrolled", "used", "refused", "removed"]
    assert [e["actor"] for e in events] == [f"user:{tenant.owner}", "anonymous", "anonymous", f"user:{tenant.owner}"]
    assert app.codes[0] not in str(events)
    assert totp.spelled(app.secret) not in str(events)


async def test_the_database_holds_no_usable_secret(tenant: Tenant, world: World) -> None:
    """A dump shows neither the app's secret, nor a recovery code, nor the token of the first step."""
    app = await owner_with_app(tenant)
    token = await first_step(world, tenant)
    async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "service:test")) as tx:
        dumped = ""
        for table in ("second_factor", "recovery_code", "pending_login"):
            rows = await tx.connection.fetch(
                f"SELECT t::text AS row FROM {table} t WHERE identity_id = $1", tenant.owner
            )
            assert rows
            dumped += "".join(row["row"] for row in rows)
    assert app.secret.hex() not in dumped
    for secret in (*app.codes, token, token.removeprefix("lg_")):
        assert secret not in dumped
        assert secret.encode().hex() not in dumped
