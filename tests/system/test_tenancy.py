"""Two tenants beside each other; and one that is suspended."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from examples.broker_week.auth016 import xsd_set
from examples.broker_week.job import publish, start
from examples.client import ApiError
from libs.common.vocabulary.mappings import MappingEntry, MappingSpec
from libs.common.vocabulary.schedules import CalendarSpec
from tests.system.operations import PLATFORM, Operation, operations, sample
from tests.system.payments import AS_OF, DAY, Filing, filed
from tests.system.world import Tenant, World

OPERATIONS = [o for o in operations() if not o.path.startswith((PLATFORM, "/oauth2", "/.well-known"))]
# what is the caller's own by its nature, or the same for everybody
COMMON = ("/v1/me", "/v1/permissions", "/v1/tenants/current", "/v1/audit/key", "/v1/audit/checkpoints/latest")


@dataclass(frozen=True, slots=True)
class Owned:
    """All that a tenant has, by the names of the places in paths."""

    filing: Filing
    run: dict[str, Any]
    by_kind: dict[str, str]


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
        "calendars": str(await publish(api, "/v1/calendars", "office", CalendarSpec())),
        "mappings": str(await publish(api, "/v1/mappings", "codes", codes)),
        "xsd-sets": str(await publish(api, "/v1/xsd-sets", "messages", xsd_set())),
    }
    lists = {
        kind: (await api.get(f"/v1/{kind}"))["items"][0]["id"] for kind in ("exceptions", "clients", "grants", "users")
    }
    by_kind = {
        **made,
        **lists,
        "connectors": str(filing.connector),
        "schemas": str(filing.schema),
        "rules": str(filing.rule),
        "destinations": str(filing.destination),
        "reports": str(filing.report),
        "runs": run["id"],
        "artifacts": run["artifacts"][0]["id"],
    }
    return Owned(filing, run, by_kind)


@pytest.fixture(scope="module")
async def stranger(world: World) -> Tenant:
    return await world.tenant("stranger")


@pytest.fixture(scope="module")
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=world.url, timeout=60, trust_env=False) as client:
        yield client


def _theirs(operation: Operation, owned: Owned) -> str | None:
    """Return the operation's path with the owner's ids in it; None where the owner has nothing of the kind."""
    kind = operation.path.split("/")[2]
    if not operation.places or kind not in owned.by_kind:
        return None
    names = list(operation.places)
    return operation.filled({names[0]: owned.by_kind[kind], "number": "1", "key": "P001"})


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.places], ids=str)
async def test_strangers_find_nothing_at_others_ids(
    http: httpx.AsyncClient, owned: Owned, stranger: Tenant, operation: Operation
) -> None:
    """Whatever a stranger does with an id of somebody else, it is not found and nothing changes (S6)."""
    path = _theirs(operation, owned)
    if path is None:
        assert operation.path.startswith("/v1/audit/"), f"nothing of the owner's for {operation}"
        pytest.skip("the owner has nothing of this kind")
    shown = path.split("/")[:4]
    before = await _as_owner(http, owned, "/".join(shown))
    body = {"json": await _plausible(owned, operation, "/".join(shown))} if operation.takes_json else {}
    headers = {**await stranger.api._bearer(), "If-Match": '"1"'}
    parameters = {name: sample(schema) for name, (schema, must) in operation.queries.items() if must}
    answer = await http.request(operation.method, path, headers=headers, params=parameters, **body)
    assert answer.status_code == 404, (path, answer.status_code, answer.text)
    assert await _as_owner(http, owned, "/".join(shown)) == before


async def _as_owner(http: httpx.AsyncClient, owned: Owned, path: str) -> Any:
    answer = await http.get(path, headers=await owned.filing.tenant.api._bearer())
    return answer.text if answer.is_success else answer.status_code


async def _plausible(owned: Owned, operation: Operation, path: str) -> Any:
    """Return a body that would do for the owner."""
    if operation.path.endswith("/secret"):
        return {"secret": {"password": "x"}}
    if operation.method != "PUT":
        return {}
    api = owned.filing.tenant.api
    shown = await api.get(path)
    if "spec" in operation.fields and not shown.get("spec"):
        shown |= await api.get(f"{path}/versions/1")
    return {name: shown[name] for name in operation.fields}


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.method == "GET" and not o.places], ids=str)
async def test_strangers_lists_show_nothing_of_others(
    http: httpx.AsyncClient, owned: Owned, stranger: Tenant, operation: Operation
) -> None:
    """No list, search or export of a stranger's holds an id of somebody else (S6)."""
    parameters = {name: sample(schema) for name, (schema, must) in operation.queries.items() if must}
    if "run_id" in operation.queries:
        parameters["run_id"] = owned.run["id"]
    answer = await http.get(operation.path, headers=await stranger.api._bearer(), params=parameters)
    assert answer.status_code in (200, 403, 404, 409, 422), answer.text
    assert not [kind for kind, id_ in owned.by_kind.items() if id_ in answer.text]
    assert str(owned.filing.tenant.id) not in answer.text


async def test_suspended_tenant_stops_within_a_second(world: World, tenant: Tenant) -> None:
    """Its tokens are refused everywhere within a second, nothing starts, and after resuming all works again (S7)."""
    filing = await filed(tenant)
    operator = await world.operator()
    await operator.post(f"{PLATFORM}/{tenant.id}/suspend")
    began = time.monotonic()
    for path in ("/v1/runs", "/v1/reports", "/v1/rules", "/v1/schedules", "/v1/audit/entries", "/v1/me"):
        await _refused(tenant, path, began)
    with pytest.raises(ApiError) as caught:
        await start(tenant.api, filing.report, DAY, AS_OF)
    assert caught.value.status == 401
    async with httpx.AsyncClient(base_url=world.url, trust_env=False) as client:
        answer = await client.post("/oauth2/token", data={"grant_type": "client_credentials"}, auth=_basic(tenant))
        assert answer.status_code in (400, 401)
    await operator.post(f"{PLATFORM}/{tenant.id}/resume")
    async with asyncio.timeout(10):
        tenant.api._expires = 0.0
        assert (await _started(filing))["records_out"] == 19


def _basic(tenant: Tenant) -> tuple[str, str]:
    return tenant.credentials.client_id, tenant.credentials.client_secret


async def _refused(tenant: Tenant, path: str, began: float) -> None:
    while True:
        try:
            await tenant.api.get(path)
        except ApiError as error:
            assert error.status == 401  # noqa: PT017 - waited for
            return
        assert time.monotonic() - began < 1.5, f"{path} still answers"
        await asyncio.sleep(0.02)


async def _started(filing: Filing) -> Any:
    """Run as soon as every service knows that the tenant works again."""
    while True:
        try:
            return await filing.run()
        except ApiError as error:
            assert error.status in (401, 403, 409), error  # noqa: PT017 - waited for
            await asyncio.sleep(0.2)
