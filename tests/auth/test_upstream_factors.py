"""Second factors and identity providers: a provider's word counts where it is trusted, each time, and it plants none."""

from typing import Any

import pytest

from tests.auth.browsing import App
from tests.auth.idp import JUST_IN_TIME, Provider, attempt, linked, opened, registered
from tests.auth.test_signup import somebody
from tests.auth.world import Tenant


async def policy(tenant: Tenant) -> None:
    """Ask for a second factor at every login of the tenant."""
    async with tenant.caller() as http:
        answer = await http.put("/v1/tenants/current/policy", json={"second_factor": "required"})
    assert answer.status_code == 200, answer.text


async def test_the_tenants_second_factor_is_asked_for(app: App, provider: Provider) -> None:
    """By default a provider's word on factors is not taken: the tenant's policy holds after its login as well."""
    id_ = await registered(app.tenant, provider, **JUST_IN_TIME)
    await policy(app.tenant)
    answer = await attempt(app, provider, id_, "n", email=somebody(), email_verified=True, amr=["mfa"])
    assert (answer.status_code, opened(answer)) == (200, False)
    assert "Set up a second factor" in answer.text


TRUSTED: dict[str, tuple[dict[str, Any], bool]] = {
    "amr": ({"amr": ["pwd", "mfa"]}, True),
    "acr": ({"acr": "gold"}, True),
    "one factor": ({"amr": ["pwd"], "acr": "silver"}, False),
    "nothing said": ({}, False),
}


@pytest.mark.parametrize(("said", "enough"), TRUSTED.values(), ids=TRUSTED.keys())
async def test_a_trusted_provider_says_so_each_time(
    app: App, provider: Provider, said: dict[str, Any], *, enough: bool
) -> None:
    """Where its second factor is trusted, the login has to say that there was one."""
    trust = {"trusts_second_factor": True, "acr_values": ["gold"]}
    id_ = await registered(app.tenant, provider, **JUST_IN_TIME, **trust)
    await policy(app.tenant)
    answer = await attempt(app, provider, id_, "n", email=somebody(), email_verified=True, **said)
    assert opened(answer) == enough, answer.text


async def test_a_provider_plants_no_second_factor(app: App, provider: Provider) -> None:
    """S10: a factor counts in all tenants; who has a password sets their first one up with it, not by a tenant's provider."""
    id_ = await registered(app.tenant, provider)
    await linked(app.tenant, provider, id_, "alice")
    await policy(app.tenant)
    answer = await attempt(app, provider, id_, "alice")
    assert (answer.status_code, opened(answer)) == (409, False)
    assert "with your password once" in answer.text
