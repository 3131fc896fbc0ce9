"""What a hostile provider, a hostile browser or a stranger in between gets: nothing, and a plain page."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from starlette.requests import Request
from starlette.responses import Response

from libs.common.context import Context
from tests.auth.browsing import browser
from tests.auth.idp import Provider, Providers, registered, sent, signed
from tests.auth.stage import Stage, refused
from tests.auth.world import PASSWORD


async def test_the_stage_is_honest(stage: Stage) -> None:
    """Without a lie the login works: what follows fails for its lie alone."""
    answer = await stage.attempt()
    assert (answer.status_code, "Allow" in answer.text) == (200, True), answer.text


async def test_a_callback_works_once(stage: Stage) -> None:
    """Whoever replays the way back, in the same browser even, logs nobody in."""
    async with browser(stage.world) as person:
        way = stage.provider.log_in(await sent(person, stage.app, stage.id), "alice")
        assert (await person.http.get(way)).status_code == 200
        again = await person.http.get(way)
    assert refused(again, dict(parse_qsl(urlsplit(way).query))["code"])


async def test_a_state_belongs_to_its_browser(stage: Stage) -> None:
    """S10: an attacker's finished login does not work in a victim's browser, and the try takes nothing from its owner."""
    async with browser(stage.world) as attacker, browser(stage.world) as victim:
        way = stage.provider.log_in(await sent(attacker, stage.app, stage.id), "alice")
        await sent(victim, stage.app, stage.id)
        assert refused(await victim.http.get(way))
        assert (await attacker.http.get(way)).status_code == 200


async def test_a_state_without_a_cookie_is_worth_nothing(stage: Stage) -> None:
    """A browser that began nothing ends nothing."""
    async with browser(stage.world) as person, browser(stage.world) as stranger:
        way = stage.provider.log_in(await sent(person, stage.app, stage.id), "alice")
        assert refused(await stranger.http.get(way))


async def test_a_stolen_code_is_not_redeemed_elsewhere(stage: Stage) -> None:
    """S10: a code that was given for one browser's challenge and nonce does not work with another's state."""
    async with browser(stage.world) as victim, browser(stage.world) as attacker:
        stolen = dict(
            parse_qsl(urlsplit(stage.provider.log_in(await sent(victim, stage.app, stage.id), "alice")).query)
        )
        own = dict(parse_qsl(urlsplit(await sent(attacker, stage.app, stage.id)).query))
        assert refused(await attacker.http.get(stage.provider.back(own, code=stolen["code"])))


async def test_an_answer_of_another_issuer_is_a_mix_up(stage: Stage, idps: Providers) -> None:
    """RFC 9207: where the answer names another issuer, or none although announced, no code is sent anywhere."""
    asked = stage.provider.seen.count("token")
    for issuer in ({"iss": idps.new().issuer}, {"iss": ""}):
        async with browser(stage.world) as person:
            way = stage.provider.log_in(await sent(person, stage.app, stage.id), "alice")
            uri = urlsplit(way)
            answer = {**dict(parse_qsl(uri.query)), **issuer}
            kept = urlencode({name: value for name, value in answer.items() if value})
            assert refused(await person.http.get(f"{uri.path}?{kept}"))
    assert stage.provider.seen.count("token") == asked


async def test_a_state_belongs_to_its_provider(stage: Stage, idps: Providers) -> None:
    """An answer at another provider's address of return is refused: no provider finishes what another began."""
    other = await registered(stage.app.tenant, idps.new(), name="Other")
    async with browser(stage.world) as person:
        way = stage.provider.log_in(await sent(person, stage.app, stage.id), "alice")
        assert refused(await person.http.get(way.replace(stage.id, other)))


async def test_a_repeated_parameter_is_refused(stage: Stage) -> None:
    """Two states, or two codes, are none."""
    async with browser(stage.world) as person:
        way = stage.provider.log_in(await sent(person, stage.app, stage.id), "alice")
        assert refused(await person.http.get(f"{way}&code=x"))


async def test_an_error_of_the_provider_is_a_plain_page(stage: Stage) -> None:
    """What the provider says in its error is not repeated to the person."""
    async with browser(stage.world) as person:
        asked = dict(parse_qsl(urlsplit(await sent(person, stage.app, stage.id)).query))
        way = stage.provider.back(asked, error="access_denied", error_description="<b>call 0900-1234</b>")
        assert refused(await person.http.get(way), "0900-1234")


async def test_a_trip_ends_after_ten_minutes(stage: Stage) -> None:
    """Who comes back late starts again."""
    async with browser(stage.world) as person:
        way = stage.provider.log_in(await sent(person, stage.app, stage.id), "alice")
        async with stage.world.runtime.database.transaction(Context(stage.app.tenant.id, "user:test")) as tx:
            await tx.connection.execute("UPDATE upstream_trip SET expires_at = expires_at - interval '10 minutes'")
        assert refused(await person.http.get(way))


async def test_a_provider_that_hangs_is_left(stage: Stage) -> None:
    """S9: after the time that is allowed for one answer the person gets a page; nothing else waits."""

    async def never(_request: Request) -> Response:
        await asyncio.sleep(120)
        return Response()

    stage.provider.answer = never
    began = asyncio.get_running_loop().time()
    answer = await stage.attempt()
    assert refused(answer)
    assert (answer.status_code, "did not answer" in answer.text) == (503, True)
    assert asyncio.get_running_loop().time() - began < 60


async def test_an_endless_answer_is_cut_off(stage: Stage) -> None:
    """S9: ten megabytes are not read to their end."""

    async def endless(_request: Request) -> Response:
        return Response(json.dumps({"id_token": "x" * 10_000_000}), media_type="application/json")

    stage.provider.answer = endless
    answer = await stage.attempt()
    assert refused(answer)
    assert "256 KiB" in answer.text


async def test_a_redirect_is_not_followed(stage: Stage, idps: Providers) -> None:
    """S9: a token endpoint that points elsewhere gets no second request there."""
    elsewhere = idps.new()

    async def moved(_request: Request) -> Response:
        return Response("{}", 307, {"Location": f"{elsewhere.issuer}/token"})

    stage.provider.answer = moved
    assert refused(await stage.attempt())
    assert elsewhere.seen == []


async def test_nothing_secret_is_logged(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """S10: no code, state, nonce, secret or token of a login, good or bad, stands in a log line."""
    made: list[str] = []

    def forge(provider: Provider, claims: dict[str, Any]) -> str:
        made.append(signed(provider, {**claims, "aud": "x"}))
        return made[-1]

    stage.provider.forge = forge
    async with browser(stage.world) as person:
        location = await sent(person, stage.app, stage.id)
        way = stage.provider.log_in(location, "alice")
        await person.http.get(way)
        asked = dict(parse_qsl(urlsplit(location).query))
        secrets_ = [
            asked["state"],
            asked["nonce"],
            person.http.cookies["__Host-regent_upstream"],
            stage.provider.secret,
        ]
    out = "".join(capsys.readouterr())
    assert "upstream.refused" in out
    code = dict(parse_qsl(urlsplit(way).query))["code"]
    assert [text for text in (*secrets_, code, *made, PASSWORD) if text in out] == []
