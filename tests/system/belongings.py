"""All that a tenant can have: one of each kind, for strangers to ask for."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from examples.broker_week.auth016 import xsd_set
from examples.broker_week.job import publish
from examples.client import Api
from libs.common.vocabulary.mappings import MappingEntry, MappingSpec
from libs.common.vocabulary.schedules import CalendarSpec
from tests.system.payments import Filing, filed, rule_spec
from tests.system.world import Tenant
from tests.tenancy.coverage import walked


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


async def furnished(tenant: Tenant) -> Owned:
    """Let a tenant have one of everything, and return it."""
    filing = await filed(tenant)
    run = await filing.run()
    api = tenant.api
    made = await made_by_hand(api, filing) | {"indicators": await measured(api)}
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
    return Owned(filing, run, by_kind | await found(api, by_kind.keys()))


async def made_by_hand(api: Api, filing: Filing) -> dict[str, str]:
    """Make what comes of no run; returns the ids."""
    schedule = {"report_id": str(filing.report), "cron": "0 6 1 1 *"}
    codes = MappingSpec(columns=("name",), entries=(MappingEntry(key="A", values={"name": "a"}),))
    regent = (await api.get("/.well-known/openid-configuration"))["issuer"]  # is an OpenID provider as well
    provider = {"name": "Acme", "issuer": regent, "client_id": "x", "client_secret": "x"}
    threshold = {"metric": "error_rate", "warning": 0.1}
    return {
        "schedules": (await api.post("/v1/schedules", {"name": "yearly", "spec": schedule}))["id"],
        "roles": (await api.post("/v1/roles", {"name": "readers", "permissions": ["run:read"]}))["id"],
        "invitations": (await api.post("/v1/invitations", {"email": "new@example.com", "roles": []}))["id"],
        "calendars": str(await publish(api, "/v1/calendars", "office", CalendarSpec())),
        "mappings": str(await publish(api, "/v1/mappings", "codes", codes)),
        "xsd-sets": str(await publish(api, "/v1/xsd-sets", "messages", xsd_set())),
        "identity-providers": (await api.post("/v1/identity-providers", provider))["id"],
        "indicator-thresholds": (await api.post("/v1/indicator-thresholds", {"spec": threshold}))["id"],
    }


async def found(api: Api, known: Iterable[str]) -> dict[str, str]:
    """Return the first of each other kind that is in a list: what the tenant was given, or came of the rest."""
    lists, others = set(map(str, walked("lists"))), {one.kind for one in walked("ids")} - set(known)
    items = {kind: (await api.get(f"/v1/{kind}"))["items"] for kind in sorted(others) if f"GET /v1/{kind}" in lists}
    return {kind: rows[0]["id"] for kind, rows in items.items() if rows}
