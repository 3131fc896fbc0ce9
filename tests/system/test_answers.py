"""What the API's document promises is what the running system answers."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from examples.client import Api
from libs.common.definitions.answers import (
    DefinitionDependent,
    DefinitionSummary,
    DefinitionVersion,
    listed,
    shown,
)
from libs.common.definitions.kinds import Kind
from services.catalog.commands import KINDS as CATALOG
from services.validator.commands import KINDS as VALIDATOR
from tests.system.belongings import measured
from tests.system.payments import Filing, filed, rule_spec
from tests.system.test_backtest import asked, drafted, proposed, second_person
from tests.system.test_exceptions import LATER, do, of, payments
from tests.system.world import Tenant, World

KINDS: dict[str, Kind] = {**CATALOG, **VALIDATOR}


@pytest.fixture
async def filing(tenant: Tenant) -> Filing:
    """Return a published report with all that it refers to."""
    return await filed(tenant)


async def test_definitions_answer_as_documented(tenant: Tenant, filing: Filing) -> None:
    """One definition, its list, versions and dependents have exactly the documented fields, for each kind in use."""
    for name in ("connector", "schema", "rule", "destination", "report"):
        for place, model in _promised(KINDS[name], getattr(filing, name)).items():
            answer = await tenant.api.get(place)
            assert model.model_validate(answer).model_dump(mode="json").keys() == answer.keys(), place


def _promised(kind: Kind, id_: UUID) -> dict[str, type[BaseModel]]:
    path = f"/v1/{kind.plural.replace('_', '-')}"
    return {
        f"{path}/{id_}": shown(kind),
        path: listed(DefinitionSummary),
        f"{path}/{id_}/versions": listed(DefinitionVersion),
        f"{path}/{id_}/dependents": listed(DefinitionDependent),
    }


async def act(api: Api, path: str, **body: Any) -> Any:
    """Do something to a resource in the state in which it is."""
    current = (await api.get(path.rpartition("/")[0]))["revision"]
    return (await api._send("POST", path, json=body, headers={"If-Match": f'"{current}"'})).json()


async def test_what_two_people_decide_is_answered_as_documented(world: World, tenant: Tenant) -> None:
    """From the policy over proposals to their approval and end: the API's client holds each answer against its model."""
    filing, api = await filed(tenant, payments()), tenant.api
    run = await filing.run()
    chosen = {"second_person": True, "due_hours": 1}
    assert await api.change("/v1/exceptions/policy", chosen) == await api.get("/v1/exceptions/policy") == chosen
    first, second, third = [await of(api, run, key) for key in ("P001", "P002", "P003")]
    await do(api, first, "amend", reason="sign", changes=[{"field": "amount", "value": "1.25"}])
    await do(api, second, "waive", reason="known", expires_on=LATER)
    assert (await do(api, third, "assign", assignee=str(uuid4())))["assignee"]
    assert (await api.post(f"/v1/exceptions/{third['id']}/comment", {"text": "seen"}))["status"] == "open"
    checker = await second_person(world, tenant)
    (amendment,), (waiver,) = [(await api.get(f"/v1/{kind}"))["items"] for kind in ("amendments", "waivers")]
    assert (await act(checker, f"/v1/amendments/{amendment['id']}/approve"))["approved_by"]
    assert (await act(checker, f"/v1/waivers/{waiver['id']}/approve"))["status"] == "active"
    assert (await act(api, f"/v1/waivers/{waiver['id']}/withdraw"))["status"] == "withdrawn"
    history = await api.pages(f"/v1/exceptions/{second['id']}/history")
    assert [line["action"] for line in history] == ["proposed", "waived", "withdrawn"]


async def test_an_indicator_is_answered_as_documented(filing: Filing) -> None:
    """One indicator has the fields that its list shows."""
    await filing.run()
    api = filing.tenant.api
    one = await api.get(f"/v1/indicators/{await measured(api)}")
    listed_ = next(each for each in (await api.get("/v1/indicators"))["items"] if each["id"] == one["id"])
    assert (one.keys(), one["value"]) == (listed_.keys(), listed_["value"])


async def test_proposals_are_answered_as_documented(world: World, tenant: Tenant, filing: Filing) -> None:
    """A draft that needs a second person: proposed, taken back, proposed again and refused."""
    api, path = tenant.api, f"/v1/rules/{filing.rule}"
    await api.change("/v1/policies/publication", {"require_approval": ["rule"]})
    await drafted(api, path, rule_spec(filing.schema, "amount > 3"))
    async with asyncio.timeout(30):
        while not (await api.get(path))["requires"]:  # noqa: ASYNC110 - the validator follows the policy by itself
            await asyncio.sleep(0.1)
    assert (await api.post(f"{path}/publish", {}))["proposal"]["status"] == "proposed"
    assert (await api.post(f"{path}/withdraw", {"comment": "not yet"}))["proposal"]["status"] == "withdrawn"
    await api.post(f"{path}/publish", {})
    await proposed(api, path, "proposed")
    await (await second_person(world, tenant)).post(f"{path}/reject", {"comment": "no"})
    listed_ = (await api.get(f"{path}/proposals"))["items"]
    assert [each["status"] for each in listed_] == ["rejected", "withdrawn"]


async def test_schedules_and_runs_are_answered_as_documented(filing: Filing) -> None:
    """A schedule that is changed, paused and resumed; a run's ledger and files; a backtest that is told to stop."""
    api, run = filing.tenant.api, await filing.run()
    body = {"name": "yearly", "spec": {"report_id": str(filing.report), "cron": "0 6 1 1 *"}}
    path = f"/v1/schedules/{(await api.post('/v1/schedules', body))['id']}"
    assert (await api.change(path, {**body, "name": "once a year"}))["revision"] == 2
    assert [(await api.post(f"{path}/{verb}"))["status"] for verb in ("pause", "resume")] == ["paused", "active"]
    assert (await api.get(f"/v1/runs/{run['id']}/ledger"))["steps"] == run["ledger"]
    assert (await api.get(f"/v1/runs/{run['id']}/artifacts"))["items"] == run["artifacts"]
    await drafted(api, f"/v1/rules/{filing.rule}", rule_spec(filing.schema, "amount > 3"))
    found = await asked(api, "rule", filing.rule)
    assert (await api.post(f"/v1/backtests/{found['id']}/cancel"))["status"] == "completed"
