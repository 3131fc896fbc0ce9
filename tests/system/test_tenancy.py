"""Two tenants beside each other; and one that is suspended."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from docs.openapi import http_document
from examples.broker_week.auth016 import xsd_set
from examples.broker_week.job import publish, start
from examples.client import Api, ApiError
from libs.common.vocabulary.mappings import MappingEntry, MappingSpec
from libs.common.vocabulary.schedules import CalendarSpec
from tests.architecture.faults import foreign_objects
from tests.system.operations import PLATFORM, Operation, operations
from tests.system.payments import AS_OF, BAD, DAY, Filing, filed, rule_spec
from tests.system.world import Tenant, World, connected
from tests.tenancy.coverage import PERSONAL, uncovered, walked
from tests.tenancy.strangers import Stranger, by_owner, plain

WITH_IDS, LISTS, WITH_BODIES = walked("ids"), walked("lists"), walked("bodies")
VERSIONED = {o.path.split("/")[2] for o in WITH_IDS if o.path.endswith("/versions/{number}")}
# where something is made from a body, and what of the owner's such a body is taken from
CREATED_FROM = {f"/v1/{kind}": kind for kind in ("reports", "rules", "schedules", "mappings", "schemas", "calendars")}
CREATED_FROM["/v1/runs"] = "reports"


@dataclass(frozen=True, slots=True)
class Owned:
    """All that a tenant has, by the names of the places in paths."""

    filing: Filing
    run: dict[str, Any]
    by_kind: dict[str, str]


async def measured(api: Api) -> str:
    """Return the id of an indicator of the run that ended just now."""
    async with asyncio.timeout(30):
        while not (items := (await api.get("/v1/indicators"))["items"]):  # noqa: ASYNC110 - it happens elsewhere
            await asyncio.sleep(0.1)
    return str(items[0]["id"])


async def decided(api: Api) -> dict[str, str]:
    """Amend an exception, take that back, waive it and send it again; returns the ids of all that came of it."""

    async def act(path: str, **body: Any) -> Any:
        current = (await api.get(path.rpartition("/")[0]))["revision"]
        return (await api._send("POST", path, json=body, headers={"If-Match": f'"{current}"'})).json()

    one = f"/v1/exceptions/{(await api.get('/v1/exceptions'))['items'][0]['id']}"
    await act(f"{one}/amend", reason="x", changes=[{"field": "amount", "value": "3.25"}])
    amendment = (await api.get("/v1/amendments"))["items"][0]["id"]
    await act(f"/v1/amendments/{amendment}/withdraw")
    await act(f"{one}/waive", reason="x", expires_on="2099-01-01")
    waiver = (await api.get("/v1/waivers"))["items"][0]["id"]
    sent = (await act(f"{one}/resubmit"))["id"]
    async with asyncio.timeout(30):
        while (await api.get(f"/v1/resubmissions/{sent}"))["status"] != "ended":  # noqa: ASYNC110 - it happens elsewhere
            await asyncio.sleep(0.1)
    return {"amendments": amendment, "waivers": waiver, "resubmissions": sent}


async def tried(filing: Filing, run: dict[str, Any]) -> dict[str, str]:
    """Let the owner try a draft on past runs, and rules on a run; returns the ids of what came of it."""
    api = filing.tenant.api
    body = {"name": "draft", "spec": rule_spec(filing.schema).model_dump(mode="json")}
    draft = (await api.post("/v1/rules", body))["id"]
    return {
        "backtests": await ended(api, "/v1/backtests", {"kind": "rule", "id": draft}),
        "rules:try": await ended(api, "/v1/rules:try", {"rules": [str(filing.rule)], "run_id": run["id"]}),
    }


async def ended(api: Api, path: str, body: dict[str, Any]) -> str:
    """Ask for some work and return its id once it is done: what goes on would look like a stranger's change."""
    id_ = (await api.post(path, body))["id"]
    async with asyncio.timeout(60):
        while (await api.get(f"{path}/{id_}"))["status"] not in ("completed", "failed"):  # noqa: ASYNC110 - elsewhere
            await asyncio.sleep(0.1)
    return str(id_)


@pytest.fixture(scope="module")
async def owned(world: World) -> Owned:
    tenant = await world.tenant("owner")
    filing = await filed(tenant)
    run = await filing.run()
    api = tenant.api
    schedule = {"report_id": str(filing.report), "cron": "0 6 1 1 *"}
    codes = MappingSpec(columns=("name",), entries=(MappingEntry(key="A", values={"name": "a"}),))
    made = {
        "schedules": (await api.post("/v1/schedules", {"name": "yearly", "spec": schedule}))["id"],
        "roles": (await api.post("/v1/roles", {"name": "readers", "permissions": ["run:read"]}))["id"],
        "invitations": (await api.post("/v1/invitations", {"email": "new@example.com", "roles": []}))["id"],
        "calendars": str(await publish(api, "/v1/calendars", "office", CalendarSpec())),
        "mappings": str(await publish(api, "/v1/mappings", "codes", codes)),
        "xsd-sets": str(await publish(api, "/v1/xsd-sets", "messages", xsd_set())),
    }
    regent = (await api.get("/.well-known/openid-configuration"))["issuer"]  # is an OpenID provider as well
    provider = {"name": "Acme", "issuer": regent, "client_id": "x", "client_secret": "x"}
    made["identity-providers"] = (await api.post("/v1/identity-providers", provider))["id"]
    threshold = {"metric": "error_rate", "warning": 0.1}
    made["indicator-thresholds"] = (await api.post("/v1/indicator-thresholds", {"spec": threshold}))["id"]
    made["indicators"] = await measured(api)
    made |= await decided(api)
    made |= await tried(filing, run)
    by_kind = {
        **made,
        "connectors": str(filing.connector),
        "schemas": str(filing.schema),
        "rules": str(filing.rule),
        "destinations": str(filing.destination),
        "reports": str(filing.report),
        "runs": run["id"],
        "artifacts": run["artifacts"][0]["id"],
    }
    for kind in sorted({o.kind for o in WITH_IDS} - by_kind.keys()):
        items = (await api.get(f"/v1/{kind}"))["items"] if f"GET /v1/{kind}" in map(str, LISTS) else []
        by_kind |= {kind: items[0]["id"]} if items else {}
    return Owned(filing, run, by_kind)


@pytest.fixture(scope="module")
async def stranger(world: World) -> Tenant:
    return await world.tenant("stranger")


@pytest.fixture(scope="module")
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=world.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
async def at_the_door(http: httpx.AsyncClient, owned: Owned, stranger: Tenant) -> Stranger:
    """Return a stranger who knows every id of the owner's."""
    owner = owned.filing.tenant
    private = {str(owner.id), owner.name, owner.owner[0], owner.credentials.client_id, *owned.by_kind.values()}
    more = {"number": "1", "key": BAD}
    return Stranger(http, stranger.api._bearer, owned.by_kind, frozenset(private), more)


def test_the_walk_takes_every_route_of_the_merged_document() -> None:
    """What is walked below is what the gateway's one document says (S37)."""
    described = {f"{method.upper()} {path}" for path, item in http_document()["paths"].items() for method in item}
    assert {f"{o.method} {o.path.replace(':path}', '}')}" for o in operations()} == described


def test_every_route_is_asked_at_something_that_is_there(owned: Owned) -> None:
    """Each operation is taken by a walk, or needs none, and each id is one of something that the owner has (S37)."""
    assert uncovered(operations(), owned.by_kind.keys()) == []


async def test_strangers_find_nothing_at_others_ids(
    http: httpx.AsyncClient, owned: Owned, at_the_door: Stranger
) -> None:
    """An id of somebody else is answered as one of nobody, word for word, and nothing changes (S6, S37)."""
    before = await _as_owner(http, owned)

    async def asked(operation: Operation) -> list[str]:
        place = f"/v1/{operation.kind}/{owned.by_kind[operation.kind]}"
        shown = await _shown(owned, place) if operation.method == "PUT" else {}
        return await at_the_door.at_an_id(operation, by_owner(shown, operation))

    assert await at_once([o for o in WITH_IDS if o.kind in owned.by_kind], asked) == []  # others are named above
    assert await _as_owner(http, owned) == before


async def at_once(
    operations: Sequence[Operation], work: Callable[[Operation], Awaitable[list[str]]], most: int = 6
) -> list[str]:
    """Do some work for each operation, so many at once; returns all faults, which name their operations."""
    few = asyncio.Semaphore(most)

    async def one(operation: Operation) -> list[str]:
        async with few:
            return await work(operation)

    found = await asyncio.gather(*(one(operation) for operation in operations))
    return [fault for faults in found for fault in faults]


async def _as_owner(http: httpx.AsyncClient, owned: Owned) -> dict[str, Any]:
    """Return all that the owner has, as the owner reads it."""
    headers = await owned.filing.tenant.api._bearer()
    paths = [f"/v1/{kind}/{id_}" for kind, id_ in owned.by_kind.items() if kind != "grants"]  # the owner's is in use
    answers = await asyncio.gather(*(http.get(path, headers=headers) for path in paths))
    return {
        path: answer.text if answer.is_success else answer.status_code
        for path, answer in zip(paths, answers, strict=True)
    }


async def _shown(owned: Owned, path: str) -> Any:
    """Return a resource of the owner's; a definition with what it says."""
    shown = await owned.filing.tenant.api.get(path)
    if shown.get("spec") or path.split("/")[2] not in VERSIONED:
        return shown
    return shown | await owned.filing.tenant.api.get(f"{path}/versions/1")


async def test_time_does_not_tell_what_exists(at_the_door: Stranger) -> None:
    """An id of somebody else is refused as fast as one of nobody (S37)."""
    reading = [each for each in WITH_IDS if each.method == "GET" and each.kind in at_the_door.ids]
    assert await at_once(reading, at_the_door.in_time, most=2) == []


async def test_strangers_lists_show_nothing_of_others(owned: Owned, at_the_door: Stranger) -> None:
    """No list, search, export or page of a stranger's holds anything of somebody else, whatever is asked (S6, S37)."""

    async def asked(operation: Operation) -> list[str]:
        faults = await at_the_door.in_a_list(operation)
        if operation.is_list:
            page = await owned.filing.tenant.api.get(operation.path, limit=1, **operation.required)
            faults += await at_the_door.on_a_page(operation, page["next"]) if page["next"] else []
        return faults

    assert await at_once(LISTS, asked) == []


async def test_bodies_that_name_others_things_are_refused_alike(owned: Owned, at_the_door: Stranger) -> None:
    """What refers to somebody else's definitions is answered as what refers to nothing (S37)."""

    async def asked(operation: Operation) -> list[str]:
        if operation.path not in CREATED_FROM:
            return await at_the_door.in_a_made_body(operation)
        kind = CREATED_FROM[operation.path]
        shown = await _shown(owned, f"/v1/{kind}/{owned.by_kind[kind]}")
        given = {**shown, "report_id": owned.by_kind["reports"], "business_date": str(DAY)}
        body = {name: given[name] for name in operation.fields if name in given and name != "as_of"}
        return await at_the_door.in_a_body(operation, body)

    assert await at_once(WITH_BODIES, asked) == []


async def test_an_idempotency_key_is_the_tenants_own(http: httpx.AsyncClient, owned: Owned, stranger: Tenant) -> None:
    """An answer kept for one tenant is not replayed to another that sends the same key and body (S37)."""
    key, body = str(uuid4()), {"name": "kept", "permissions": ["run:read"]}
    answers = [
        await http.post("/v1/roles", json=body, headers={**await api._bearer(), "Idempotency-Key": key})
        for api in (owned.filing.tenant.api, stranger.api)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] != answers[1].json()["id"]


@pytest.mark.parametrize("operation", [o for o in operations() if o.path.startswith(f"{PLATFORM}/{{")], ids=str)
async def test_the_platforms_routes_tell_a_tenant_nothing(
    owned: Owned, at_the_door: Stranger, operation: Operation
) -> None:
    """Who is no operator is refused at every tenant's id alike (S37)."""
    answers = [
        await at_the_door.send(
            operation.method, operation.filled({"id": id_}), {}, {} if operation.takes_json else None
        )
        for id_ in (str(owned.filing.tenant.id), str(uuid4()))
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert plain(answers[0]) == plain(answers[1])


@pytest.fixture(scope="module")
async def person(http: httpx.AsyncClient, owned: Owned, stranger: Tenant) -> Stranger:
    """Return a person of the stranger's tenant, who knows the id of a second factor of the owner's."""
    headers = await _logged_in(http, owned.filing.tenant)
    body = {"password": owned.filing.tenant.owner[1]}
    factor = (await http.post("/v1/me/factors/totp", json=body, headers=headers)).raise_for_status().json()["id"]
    sessions = (await http.get("/v1/sessions", headers=headers)).raise_for_status().json()["items"]
    own = await _logged_in(http, stranger)

    async def bearer() -> dict[str, str]:
        return own

    ids = {"me/factors": factor, "me/identities": factor, "sessions": sessions[0]["id"]}
    return Stranger(http, bearer, ids, frozenset(ids.values()))


async def _logged_in(http: httpx.AsyncClient, tenant: Tenant) -> dict[str, str]:
    body = dict(zip(("email", "password"), tenant.owner, strict=True))
    answer = (await http.post("/v1/login", json=body)).raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


OWN = [o for o in walked("a person's own") if o.path.startswith(PERSONAL)]


@pytest.mark.parametrize("operation", OWN, ids=str)
async def test_what_is_a_persons_own_is_nobody_elses(stranger: Tenant, person: Stranger, operation: Operation) -> None:
    """Another person's second factor or session is as unknown as none at all, and is in no list (S37)."""
    given = {"password": stranger.owner[1], "code": "123456"}
    body = {name: given[name] for name in operation.fields if name in given} if operation.takes_json else None
    if operation.places:
        assert await person.at_an_id(operation, body) == []
    else:
        assert await person.in_a_list(operation) == []


async def test_no_row_refers_to_anothers_object(world: World, owned: Owned) -> None:
    """After whole runs of several tenants every object key begins with the tenant of its row (S37)."""
    async with connected(world.stack.postgres.url(database="regent")) as admin:
        assert await admin.fetchval("SELECT count(*) FROM runner.artifact WHERE tenant_id = $1", owned.filing.tenant.id)
        assert await foreign_objects(admin) == set()


async def test_suspended_tenant_stops(world: World, tenant: Tenant) -> None:
    """Its tokens are refused everywhere (how soon, test_revocation says), nothing starts; resumed, all works again (S7)."""
    filing = await filed(tenant)
    operator = await world.operator()
    await operator.post(f"{PLATFORM}/{tenant.id}/suspend")
    for path in ("/v1/runs", "/v1/reports", "/v1/rules", "/v1/schedules", "/v1/audit/entries", "/v1/me"):
        await _refused(tenant, path)
    with pytest.raises(ApiError) as caught:
        await start(tenant.api, filing.report, DAY, AS_OF)
    assert caught.value.status == 401
    async with httpx.AsyncClient(base_url=world.url, trust_env=False) as client:
        answer = await client.post("/oauth2/token", data={"grant_type": "client_credentials"}, auth=_basic(tenant))
        assert answer.status_code in (400, 401)
    await operator.post(f"{PLATFORM}/{tenant.id}/resume")
    async with asyncio.timeout(60):
        tenant.api._expires = 0.0
        assert (await _started(filing))["records_out"] == 19


def _basic(tenant: Tenant) -> tuple[str, str]:
    return tenant.credentials.client_id, tenant.credentials.client_secret


async def _refused(tenant: Tenant, path: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await tenant.api.get(path)
            except ApiError as error:
                assert error.status == 401  # noqa: PT017 - waited for
                return
            await asyncio.sleep(0.02)


async def _started(filing: Filing) -> Any:
    """Run as soon as every service knows that the tenant works again."""
    while True:
        try:
            return await filing.run()
        except ApiError as error:
            assert error.status in (401, 403, 409), error  # noqa: PT017 - waited for
            await asyncio.sleep(0.2)
