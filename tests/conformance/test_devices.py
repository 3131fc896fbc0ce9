"""Device authorization (RFC 8628)."""

import asyncio
from typing import Any

import pytest

from services.auth.store.devices import device_authorization
from tests.conformance.answers import bad
from tests.conformance.server import DEVICE, REFRESH, App, Person


@pytest.fixture(scope="module")
async def device(person: Person) -> App:
    """Return a client without a browser."""
    return await person.register(kind="public", grant_types=[DEVICE, REFRESH], redirect_uris=[])


async def begun(device: App, **more: str) -> dict[str, Any]:
    answer = await device.post("/oauth2/device_authorization", **{"scope": "report:read offline_access", **more})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def poll(device: App, code: str) -> Any:
    return await device.token(grant_type=DEVICE, device_code=code)


async def decide(person: Person, user_code: str, decision: str) -> int:
    """Type a code in and decide; returns the status of the page where nothing was to be decided."""
    page = await person.browser.send("GET", "/oauth2/device")
    page = await person.browser.submit(page, user_code=user_code)
    if 'value="allow"' not in page.text:
        return page.status_code
    return (await person.browser.submit(page, decision=decision)).status_code


async def test_a_device_is_told_what_it_needs(device: App) -> None:
    """RFC 8628, 3.2."""
    shown = await begun(device)
    assert set(shown) >= {"device_code", "user_code", "verification_uri", "expires_in", "interval"}
    assert shown["verification_uri"].startswith(device.server.url)
    assert shown["user_code"] in shown["verification_uri_complete"]
    assert len(shown["user_code"].replace("-", "")) >= 8
    assert not set("AEIOU01") & set(shown["user_code"])


async def test_pending_then_slow_down(device: App) -> None:
    """RFC 8628, 3.5."""
    code = (await begun(device))["device_code"]
    await bad(await poll(device, code), "authorization_pending")
    await bad(await poll(device, code), "slow_down")


@pytest.mark.parametrize("typed", [str.lower, lambda text: text.replace("-", ""), lambda text: f" {text} "])
async def test_a_code_is_typed_as_people_type(person: Person, device: App, typed: Any) -> None:
    """RFC 8628, 6.1: case, dashes and spaces do not matter."""
    shown = await begun(device)
    assert await decide(person, typed(shown["user_code"]), "allow") == 200
    assert (await poll(device, shown["device_code"])).status_code == 200


async def test_an_allowed_code_works_once(person: Person, device: App) -> None:
    """Also for eight at once."""
    shown = await begun(device)
    await decide(person, shown["user_code"], "allow")
    answers = await asyncio.gather(*(poll(device, shown["device_code"]) for _ in range(8)))
    assert sum(answer.status_code == 200 for answer in answers) == 1
    await bad(await poll(device, shown["device_code"]))


async def test_a_denied_code(person: Person, device: App) -> None:
    """`access_denied`."""
    shown = await begun(device)
    await decide(person, shown["user_code"], "deny")
    await bad(await poll(device, shown["device_code"]), "access_denied")


async def test_an_expired_code(person: Person, device: App) -> None:
    """`expired_token`; and nobody can allow it any more."""
    shown = await begun(device)
    await person.server.expire(person.tenant, device_authorization)
    await bad(await poll(device, shown["device_code"]), "expired_token")
    assert await decide(person, shown["user_code"], "allow") == 400


async def test_an_expired_code_is_not_forgotten_at_once(person: Person, device: App) -> None:
    """RFC 8628, 3.5: `expired_token`, also where another device has begun since."""
    shown = await begun(device)
    await person.server.expire(person.tenant, device_authorization)
    await begun(device)
    await bad(await poll(device, shown["device_code"]), "expired_token")


async def test_a_person_sees_where_a_device_may_act(person: Person, device: App) -> None:
    """RFC 8707: the resources stand beside the scope."""
    place = f"{person.server.url}/v1/reports"
    shown = await begun(device, resource=place)
    page = await person.browser.submit(await person.browser.send("GET", "/oauth2/device"), user_code=shown["user_code"])
    assert f"reports <small>{place}</small>" in page.text


async def test_a_code_is_its_devices(person: Person, stranger: Person, device: App) -> None:
    """Other clients get nothing, and burn nothing."""
    shown = await begun(device)
    await decide(person, shown["user_code"], "allow")
    changed = {"kind": "public", "grant_types": [DEVICE, REFRESH], "redirect_uris": []}
    for other in (await person.register(**changed), await stranger.register(**changed)):
        await bad(await poll(other, shown["device_code"]))
    assert (await poll(device, shown["device_code"])).status_code == 200


@pytest.mark.parametrize("code", ["x", "dc_", "dc_" + "A" * 64, "' OR 1=1 --", "a" * 5000])
async def test_an_invented_device_code(device: App, code: str) -> None:
    """Is refused, whatever it looks like."""
    await bad(await poll(device, code))


async def test_a_user_code_is_no_device_code(person: Person, device: App) -> None:
    """What people see does not poll."""
    shown = await begun(device)
    await decide(person, shown["user_code"], "allow")
    await bad(await poll(device, shown["user_code"]))


@pytest.mark.parametrize("scope", ["report:write", "nonsense", "report:*"])
async def test_a_device_asks_for_what_it_may(device: App, scope: str) -> None:
    """As at the authorization endpoint."""
    await bad(await device.post("/oauth2/device_authorization", scope=scope), "invalid_scope")


async def test_guessing_user_codes_is_slow(person: Person, device: App) -> None:
    """RFC 8628, 5.1: after some wrong ones the right one waits as well."""
    guesser = await person.server.at_browser()
    for _ in range(6):
        await decide(guesser, "BCDF-GHJK", "allow")
    assert await decide(guesser, "BCDF-GHJK", "allow") == 429


async def test_a_user_of_another_tenant_allows_nothing(stranger: Person, device: App) -> None:
    """The code means nothing there."""
    shown = await begun(device)
    assert await decide(stranger, shown["user_code"], "allow") == 400
    await bad(await poll(device, shown["device_code"]), "authorization_pending")
