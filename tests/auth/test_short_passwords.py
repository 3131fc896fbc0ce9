"""NIST SP 800-63B-4: eight characters are enough beside a second factor, and fifteen are asked for without."""

from libs.common.context import Context
from libs.common.ids import SYSTEM_TENANT
from tests.auth.mailbox import Mailbox
from tests.auth.test_second_factor import enrolled, owner_with_app
from tests.auth.world import PASSWORD, Tenant, World

SHORT = "mv9?tulp"
TOO_SHORT = "urn:regent:problem:password-too-short"
REMOVE = "/v1/me/factors/{}/remove"


async def test_beside_a_factor_a_short_password_can_be_chosen(tenant: Tenant) -> None:
    """With a factor eight characters are taken; without one they are refused, with the reason."""
    body = {"current": PASSWORD, "password": SHORT}
    async with tenant.caller() as http:
        refused = await http.post("/v1/password", json=body)
        assert (refused.status_code, "15 to" in refused.text) == (422, True)
        await enrolled(http)
        assert (await http.post("/v1/password", json=body)).status_code == 204
        seven = await http.post("/v1/password", json={"current": SHORT, "password": SHORT[:7]})
        assert (seven.status_code, "8 to" in seven.text) == (422, True)


async def test_the_last_factor_stays_while_the_password_is_short(tenant: Tenant) -> None:
    """A longer password is demanded first; then the factor can go."""
    async with tenant.caller() as http:
        app = await enrolled(http)
        await http.post("/v1/password", json={"current": PASSWORD, "password": SHORT})
        refused = await http.post(REMOVE.format(app.id), json={"password": SHORT})
        assert (refused.status_code, refused.json()["type"]) == (409, TOO_SHORT)
        assert len((await http.get("/v1/me/factors")).json()["items"]) == 1
        assert (await http.post("/v1/password", json={"current": SHORT, "password": PASSWORD})).status_code == 204
        assert (await http.post(REMOVE.format(app.id), json={"password": PASSWORD})).status_code == 204


async def test_one_of_two_factors_can_go_whatever_the_password(tenant: Tenant) -> None:
    """It is the last one that the password leans on."""
    async with tenant.caller() as http:
        first, _ = await enrolled(http), await enrolled(http)
        await http.post("/v1/password", json={"current": PASSWORD, "password": SHORT})
        assert (await http.post(REMOVE.format(first.id), json={"password": SHORT})).status_code == 204


async def test_a_short_password_can_be_chosen_by_mail(tenant: Tenant, world: World, mailbox: Mailbox) -> None:
    """The link's page takes it where there is a factor, which is still asked for at the next login."""
    await owner_with_app(tenant)
    async with world.client() as http:
        await http.post("/v1/password/forgot", json={"email": tenant.email})
        token = (await mailbox.newest(tenant.email, "Choose another password")).link.partition("#")[2]
        assert (await http.post("/v1/password/reset", json={"token": token, "password": SHORT})).status_code == 204
        begun = await http.post("/v1/login", json={"email": tenant.email, "password": SHORT})
    assert begun.json()["type"] == "urn:regent:problem:second-factor-required"


async def test_a_short_password_is_refused_by_mail_without_a_factor(
    tenant: Tenant, world: World, mailbox: Mailbox
) -> None:
    """The link stays usable."""
    async with world.client() as http:
        await http.post("/v1/password/forgot", json={"email": tenant.email})
        token = (await mailbox.newest(tenant.email, "Choose another password")).link.partition("#")[2]
        assert (await http.post("/v1/password/reset", json={"token": token, "password": SHORT})).status_code == 422
        assert (
            await http.post("/v1/password/reset", json={"token": token, "password": PASSWORD[::-1]})
        ).status_code == 204


async def test_no_length_is_kept(tenant: Tenant, world: World) -> None:
    """What is remembered of a password is its hash, and whether it may be alone."""
    async with tenant.caller() as http:
        await enrolled(http)
        await http.post("/v1/password", json={"current": PASSWORD, "password": SHORT})
    async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "service:test")) as tx:
        row = await tx.connection.fetchrow("SELECT * FROM identity WHERE id = $1", tenant.owner)
    assert set(row.keys()) == {"id", "email", "password_hash", "password_alone", "email_proven_at", "created_at"}
    assert row["password_alone"] is False
