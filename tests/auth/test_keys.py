"""Signing keys turn without a refused request; only public parts are shown (S11)."""

import asyncio
from datetime import timedelta

from libs.common.context import Context, utc_now
from libs.common.database.pool import Database
from libs.common.ids import SYSTEM_TENANT
from services.auth import operator
from services.auth.keeper import Keeper
from services.auth.settings import Settings
from services.auth.store import keys
from tests.auth.world import Tenant, World

LEAD = timedelta(seconds=1)


async def jwks(world: World) -> list[dict[str, str]]:
    async with world.client() as http:
        answer = await http.get("/.well-known/jwks.json")
    shown: list[dict[str, str]] = answer.json()["keys"]
    return shown


async def states(world: World, algorithm: str = "ES256") -> dict[str, str]:
    async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "service:test")) as tx:
        return {
            row["kid"]: row["state"]
            for row in await keys.all_keys(tx)
            if row["algorithm"] == algorithm and (row["state"] != "next" or row["published_at"])
        }


async def test_only_public_parts_are_shown(world: World) -> None:
    """The key set holds what verifies and nothing that signs (S11)."""
    shown = await jwks(world)
    assert shown
    parts = {"EC": {"crv", "x", "y"}, "RSA": {"n", "e"}}
    assert {key["kty"] for key in shown} == set(parts)
    for key in shown:
        assert set(key) == {"kty", "kid", "use", "alg"} | parts[key["kty"]]


async def test_keys_turn_without_a_refused_request(tenant: Tenant, world: World) -> None:
    """Tokens of the old and of the new key work all the way through a rotation (S11)."""
    before = await tenant.login()
    signers = world.runtime.extras["auth"].signers
    async with Database.open(world.databases["auth_keeper"], service="auth", role="keeper", size=1) as database:
        keeper = Keeper(world.runtime.database, database, signers, rotation=timedelta(0), lead=LEAD)
        statuses: list[int] = []
        asking = asyncio.create_task(keep_asking(tenant, world, before["access_token"], statuses))
        old = next(kid for kid, state in (await states(world)).items() if state == "active")
        assert await keeper.turn_keys(utc_now()) == "prepare"
        await until_state(world, "next")
        assert await keeper.turn_keys(utc_now()) is None
        await asyncio.sleep(1.2)
        assert await keeper.turn_keys(utc_now()) == "promote"
        asked = len(statuses)
        while len(statuses) < asked + 8 and not asking.done():  # noqa: ASYNC110 - the asking has no event
            await asyncio.sleep(0.05)
        assert asking.cancel()
        assert set(statuses) == {200}
        assert (await states(world))[old] == "retiring"
        assert old in {key["kid"] for key in await jwks(world)}
        keeper._rotation = timedelta(days=365)
        await keeper.turn_keys(utc_now() + timedelta(minutes=10))
        signers.forget()  # ten minutes have passed
    assert old not in {key["kid"] for key in await jwks(world)}
    async with tenant.caller() as http:
        assert (await http.get("/v1/me")).status_code == 200


async def test_a_retired_key_is_shown_as_long_as_what_it_signed_lives(world: World) -> None:
    """Access and ID tokens live 300 seconds at most, and a process signs 5 seconds longer than it should (S11)."""
    signers = world.runtime.extras["auth"].signers
    async with Database.open(world.databases["auth_keeper"], service="auth", role="keeper", size=1) as database:
        keeper = Keeper(world.runtime.database, database, signers, rotation=timedelta(days=365), lead=LEAD)
        context = Context(SYSTEM_TENANT, "service:test", utc_now())
        async with world.runtime.database.transaction(context) as tx:
            kid, jwk, _ = await signers.make(tx)
            await tx.connection.execute(
                "INSERT INTO signing_key (kid, jwk, state, created_at, retired_at) VALUES ($1, $2, 'retiring', $3, $3)",
                kid,
                jwk,
                context.now,
            )
        await keeper.turn_keys(context.now + timedelta(seconds=309))
        assert kid in {key["kid"] for key in await jwks(world)}
        await keeper.turn_keys(context.now + timedelta(seconds=311))
        assert kid not in {key["kid"] for key in await jwks(world)}


async def keep_asking(tenant: Tenant, world: World, old_token: str, statuses: list[int]) -> None:
    while True:
        fresh = await tenant.login()
        for token in (old_token, fresh["access_token"]):
            async with world.client() as http:
                answer = await http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
            statuses.append(answer.status_code)


async def until_state(world: World, state: str) -> None:
    async with asyncio.timeout(30):
        while state not in (await states(world)).values():  # noqa: ASYNC110 - the publisher works beside us
            await asyncio.sleep(0.05)


async def test_a_key_is_known_before_it_signs(world: World) -> None:
    """Whoever keeps the key set as long as its answer allows has seen a key before it signs, whatever is configured (S11)."""
    async with world.client() as http:
        answer = await http.get("/.well-known/jwks.json")
    kept = int(answer.headers["Cache-Control"].rpartition("max-age=")[2])
    least = next(part.ge for part in Settings.model_fields["key_lead_seconds"].metadata if hasattr(part, "ge"))
    assert 0 < kept <= least


async def test_a_retired_key_loses_its_private_part(world: World) -> None:
    """Once a key no longer signs, nothing of it is left to steal."""
    async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "service:test")) as tx:
        rows = await tx.connection.fetch("SELECT state, sealed IS NULL AS gone FROM signing_key")
    assert all(row["gone"] == (row["state"] == "retiring") for row in rows)


async def test_two_services_make_one_first_key(world: World) -> None:
    """Starting at once does not make two active keys."""
    signers = world.runtime.extras["auth"].signers
    async with Database.open(world.databases["auth_keeper"], service="auth", role="keeper", size=1) as database:
        keeper = Keeper(world.runtime.database, database, signers, rotation=timedelta(days=9), lead=LEAD)
        await asyncio.gather(*(keeper.turn_keys(utc_now()) for _ in range(5)))
    for algorithm in ("ES256", "RS256"):
        assert list((await states(world, algorithm)).values()).count("active") == 1


async def test_an_operator_begins_a_rotation(tenant: Tenant, world: World) -> None:
    """`platform:keys` publishes the next key at once, and a second rotation waits for the first."""
    id_, secret = await operator.create_client(
        world.runtime.database, utc_now(), SYSTEM_TENANT, "keys", ["platform_operator"]
    )
    token = (await world.token_for(id_, secret)).json()["access_token"]
    async with world.client() as http, tenant.caller() as owner:
        http.headers["Authorization"] = f"Bearer {token}"
        begun = await http.post("/v1/keys/rotate")
        again = await http.post("/v1/keys/rotate")
        listed = {key["kid"]: key["state"] for key in (await http.get("/v1/keys")).json()["items"]}
        refused = await owner.post("/v1/keys/rotate")
    assert (begun.status_code, again.status_code, refused.status_code) == (202, 409, 403)
    assert listed[begun.json()["kid"]] == "next"
    assert begun.json()["kid"] in {key["kid"] for key in await jwks(world)}
    async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "service:test")) as tx:
        await tx.connection.execute("DELETE FROM signing_key WHERE state = 'next'")
