"""Two tenants beside each other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any
from uuid import uuid4

import httpx
import pytest

from docs.openapi import http_document
from tests.architecture.faults import foreign_objects
from tests.documented import watched
from tests.system.belongings import Owned, furnished
from tests.system.operations import PLATFORM, Operation, operations
from tests.system.payments import BAD, DAY
from tests.system.world import Tenant, World, connected
from tests.tenancy.coverage import PERSONAL, uncovered, walked
from tests.tenancy.strangers import Stranger, by_owner, plain

WITH_IDS, LISTS, WITH_BODIES = walked("ids"), walked("lists"), walked("bodies")
VERSIONED = {o.path.split("/")[2] for o in WITH_IDS if o.path.endswith("/versions/{number}")}
# where something is made from a body, and what of the owner's such a body is taken from
CREATED_FROM = {f"/v1/{kind}": kind for kind in ("reports", "rules", "schedules", "mappings", "schemas", "calendars")}
CREATED_FROM["/v1/runs"] = "reports"


@pytest.fixture(scope="module")
async def owned(world: World) -> Owned:
    return await furnished(await world.tenant("owner"))


@pytest.fixture(scope="module")
async def stranger(world: World) -> Tenant:
    return await world.tenant("stranger")


@pytest.fixture(scope="module")
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with watched(httpx.AsyncClient(base_url=world.url, timeout=60, trust_env=False)) as client:
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
