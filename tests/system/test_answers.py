"""What the API's document promises is what the running system answers."""

from uuid import UUID

import pytest
from pydantic import BaseModel

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
from tests.system.payments import Filing, filed
from tests.system.world import Tenant

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
