"""What a token is for (RFC 8707): a client names it, and nothing else takes the token (S11)."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
import pytest

from deploy.local.routes import owner
from libs.common.identity.audience import COLLECTIONS, path_of, paths_of, reaches
from tests.auth.browsing import App, browser, register, told
from tests.auth.test_code import claims_of
from tests.auth.world import PUBLIC_URL, Tenant, World

VERIFIER = "v" * 50
ME, USERS = f"{PUBLIC_URL}/v1/me", f"{PUBLIC_URL}/v1/users"


@pytest.fixture
async def app(tenant: Tenant) -> App:
    """Return a confidential client that acts for people and for itself."""
    grants = ["authorization_code", "refresh_token", "client_credentials"]
    return await register(tenant, grant_types=grants, roles=["viewer"])


async def code(app: App, resource: list[str], **asked: str) -> str:
    query = urlencode({**app.request(VERIFIER, **asked), "resource": resource}, doseq=True)
    async with browser(app.world) as person:
        page = await person.log_in(await person.open(query), app.tenant.email)
        return told(await person.submit(page, decision="allow"))["code"]


async def own(app: App, *resource: str) -> httpx.Response:
    return await app.token(grant_type="client_credentials", resource=list(resource))  # type: ignore[arg-type]


async def status(world: World, path: str, token: str) -> int:
    async with world.client() as http:
        return (await http.get(path, headers={"Authorization": f"Bearer {token}"})).status_code


@pytest.mark.parametrize(
    ("resource", "audience"),
    [
        ([], "regent"),
        ([PUBLIC_URL], PUBLIC_URL),
        ([f"{PUBLIC_URL}/"], f"{PUBLIC_URL}/"),
        ([ME], ME),
        ([ME, USERS], [ME, USERS]),
        ([ME, ME], ME),
    ],
)
async def test_a_token_names_what_it_was_asked_for(app: App, resource: list[str], audience: Any) -> None:
    """The audience is the resource as the client wrote it; several make a list."""
    assert claims_of((await own(app, *resource)).json()["access_token"])["aud"] == audience


async def test_a_token_for_one_collection_is_refused_by_others(app: App, world: World) -> None:
    """A service takes a token for the whole API, or for the collection that is asked for; 403 is a token that was taken."""
    everywhere = (await own(app, PUBLIC_URL)).json()["access_token"]
    narrow = (await own(app, ME)).json()["access_token"]
    assert [await status(world, path, everywhere) for path in ("/v1/me", "/v1/grants")] == [200, 403]
    assert [await status(world, path, narrow) for path in ("/v1/me", "/v1/grants")] == [200, 401]


FOREIGN = [
    "https://api.example",
    f"{PUBLIC_URL}/v1/nothing",
    f"{PUBLIC_URL}/v1/runs/",
    f"{PUBLIC_URL}/v1/runs#part",
    f"{PUBLIC_URL}runs",
    "/v1/runs",
    "regent",
    "urn:x",
]


@pytest.mark.parametrize("resource", FOREIGN)
async def test_a_foreign_resource_is_no_target(app: App, resource: str) -> None:
    """`invalid_target`, alone or beside a good one."""
    for named in ([resource], [PUBLIC_URL, resource]):
        answer = await own(app, *named)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")


async def test_the_client_is_told_by_the_browser(app: App) -> None:
    """At the authorization endpoint the same error goes to the redirect URI, and a pushed request is refused at once."""
    async with browser(app.world) as person:
        answer = told(await person.open({**app.request(VERIFIER), "resource": "https://api.example"}))
    assert (answer["error"], answer["state"], answer["iss"]) == ("invalid_target", "s&=1", PUBLIC_URL)
    async with app.world.client() as http:
        data = {**app.request(VERIFIER), "resource": "https://api.example"}
        pushed = await http.post("/oauth2/par", data=data, auth=(app.id, app.secret or ""))
    assert (pushed.status_code, pushed.json()["error"]) == (400, "invalid_target")


async def test_a_pushed_request_keeps_its_resources(app: App) -> None:
    """Several of them, by PAR, reach the token."""
    async with app.world.client() as http:
        data: dict[str, Any] = {**app.request(VERIFIER), "resource": [ME, USERS]}
        pushed = (await http.post("/oauth2/par", data=data, auth=(app.id, app.secret or ""))).json()
    async with browser(app.world) as person:
        given = await person.allow(app, {"client_id": app.id, "request_uri": pushed["request_uri"]})
    assert claims_of((await app.redeem(given["code"], VERIFIER)).json()["access_token"])["aud"] == [ME, USERS]


async def test_a_code_gives_what_its_user_allowed(app: App) -> None:
    """All of it where nothing is named, a part where that is named; more is refused and leaves the code usable."""
    given = await code(app, [ME, USERS])
    beyond = await app.redeem(given, VERIFIER, resource=f"{PUBLIC_URL}/v1/runs")
    assert (beyond.status_code, beyond.json()["error"]) == (400, "invalid_target")
    part = await app.redeem(given, VERIFIER, resource=USERS)
    assert claims_of(part.json()["access_token"])["aud"] == USERS


async def test_a_refresh_may_name_another_part(app: App) -> None:
    """The grant keeps what was allowed, whatever the first token was for; more is refused and burns nothing."""
    given = await code(app, [ME, USERS], scope="run:read offline_access")
    first = (await app.redeem(given, VERIFIER, resource=USERS)).json()
    beyond = await app.token(grant_type="refresh_token", refresh_token=first["refresh_token"], resource=PUBLIC_URL)
    assert (beyond.status_code, beyond.json()["error"]) == (400, "invalid_target")
    second = (await app.token(grant_type="refresh_token", refresh_token=first["refresh_token"], resource=ME)).json()
    assert claims_of(second["access_token"])["aud"] == ME
    third = (await app.token(grant_type="refresh_token", refresh_token=second["refresh_token"])).json()
    assert claims_of(third["access_token"])["aud"] == [ME, USERS]


async def test_consent_to_one_place_is_none_to_others(app: App) -> None:
    """A client that was allowed one collection asks again for another, or for everything; not again for the same."""
    async with browser(app.world) as person:
        first = await person.allow(app, app.request(VERIFIER, resource=ME))
        await app.redeem(first["code"], VERIFIER)
        answers = [
            await person.open(app.request(VERIFIER, **asked))
            for asked in ({"resource": ME}, {"resource": USERS}, {"resource": PUBLIC_URL}, {})
        ]
    assert [answer.status_code for answer in answers] == [303, 200, 200, 200]


async def test_a_grant_without_resources_gives_narrower_tokens(app: App) -> None:
    """Who may go everywhere may ask for less."""
    tokens = await app.granted("run:read offline_access")
    assert claims_of(tokens["access_token"])["aud"] == "regent"
    answer = await app.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"], resource=ME)
    assert claims_of(answer.json()["access_token"])["aud"] == ME


async def test_other_parameters_still_count_once(app: App) -> None:
    """Only `resource` may be repeated."""
    answer = await app.token(grant_type="client_credentials", scope=["run:read", "run:read"])  # type: ignore[arg-type]
    assert answer.json()["error"] == "invalid_request"


def test_paths_are_compared_by_whole_segments() -> None:
    """A collection's name is not a prefix of another's."""
    paths = paths_of(f"{PUBLIC_URL}/v1/runs", PUBLIC_URL)
    assert reaches(paths, "/v1/runs")
    assert reaches(paths, "/v1/runs/1/steps")
    assert reaches(paths, "/v1/runs:try")
    assert not reaches(paths, "/v1/runsheets")
    assert not reaches(paths, "/v1")


def test_each_collection_is_a_resource() -> None:
    """Whatever asks for a token can be named, and the gateway knows whatever can be named."""
    described = orjson.loads((Path(__file__).parents[2] / "docs" / "api" / "openapi.json").read_bytes())
    paths = {path.split("/")[2].partition(":")[0] for path in described["paths"] if path.startswith("/v1/")}
    assert paths - {"challenge", "login", "setup", "signup"} <= COLLECTIONS
    assert all(owner(path_of(f"{PUBLIC_URL}/v1/{name}", PUBLIC_URL)) for name in COLLECTIONS)


async def test_the_api_describes_itself_as_a_resource(world: World) -> None:
    """Where its tokens come from (RFC 9728): for the whole, for a collection, and not for what there is not."""
    async with world.client() as http:
        answers = [
            await http.get(f"/.well-known/oauth-protected-resource{path}") for path in ("", "/v1/runs", "/v1/nothing")
        ]
        server = (await http.get("/.well-known/oauth-authorization-server")).json()
    assert [answer.status_code for answer in answers] == [200, 200, 404]
    assert [answer.json()["resource"] for answer in answers[:2]] == [PUBLIC_URL, f"{PUBLIC_URL}/v1/runs"]
    assert answers[0].json()["authorization_servers"] == [server["issuer"]]
    assert server["protected_resources"] == [PUBLIC_URL]
