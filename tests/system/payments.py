"""A small report over a file of payments: what a story needs whose point is something else."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from examples.broker_week.job import connector, publish, start, wait
from examples.client import Api
from libs.common.vocabulary.connections import FileConnector
from libs.common.vocabulary.reports import CsvOutput, FileSource, Output, ReportSpec, Source
from libs.common.vocabulary.rules import ExpressionCheck, RuleSpec
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.common.vocabulary.transforms import FieldMapping, Transform
from tests.system.world import Tenant

DAY = date(2026, 3, 6)
AS_OF = datetime(2026, 3, 9, tzinfo=UTC)
CSV = "id,amount,booked\n" + "".join(f"P{n:03},{n - 2}.25,2026-03-{n % 5 + 1:02}\n" for n in range(1, 21))
"""Twenty payments; the first is not above zero."""
BAD = "P001"
SCHEMA = SchemaSpec(
    fields=(
        SchemaField(name="id", type="text", required=True),
        SchemaField(name="amount", type="decimal", scale=2, required=True),
        SchemaField(name="booked", type="date"),
    )
)


@dataclass(frozen=True, slots=True)
class Filing:
    """The published definitions of a tenant's payments report."""

    tenant: Tenant
    connector: UUID
    schema: UUID
    rule: UUID
    destination: UUID
    report: UUID

    async def run(self, day: date = DAY) -> Any:
        """Run the report and return the ended run."""
        return await wait(self.tenant.api, await start(self.tenant.api, self.report, day, AS_OF))

    async def rerun(self, run_id: str, versions: str = "pinned") -> Any:
        """Repeat an ended run and return the ended repetition."""
        again = await self.tenant.api.post(f"/v1/runs/{run_id}/rerun", {"versions": versions})
        return await wait(self.tenant.api, UUID(again["id"]))


async def filed(tenant: Tenant, content: str = CSV, outputs: Sequence[Output] = (CsvOutput(),)) -> Filing:
    """Put a file into the tenant's inbox and publish a report over it."""
    (tenant.inbox / f"payments-{DAY}.csv").write_text(content, encoding="utf-8")
    spec = FileConnector(root="inbox", path=tenant.inbox.name)
    files = await connector(tenant.api, "files", spec, {})
    return await described(tenant, files, FileSource(connector_id=files, file="payments-{business_date}.csv"), outputs)


async def described(
    tenant: Tenant, source_connector: UUID, source: Source, outputs: Sequence[Output] = (CsvOutput(),)
) -> Filing:
    """Publish everything from the schema to the report over any source of payments."""
    api = tenant.api
    schema = await publish(api, "/v1/schemas", "payments", SCHEMA)
    rule = await publish(api, "/v1/rules", "amount positive", rule_spec(schema))
    destination = await publish(api, "/v1/destinations", "outbox", tenant.destination)
    spec = report_spec(source, schema, rule, destination, outputs)
    report = await publish(api, "/v1/reports", "payments", spec)
    return Filing(tenant, source_connector, schema, rule, destination, report)


def rule_spec(schema: UUID, expression: str = "amount > 0") -> RuleSpec:
    """Return a blocking rule."""
    return RuleSpec(
        schema_id=schema, check=ExpressionCheck(expression=expression), message="amount {amount} is not positive"
    )


def report_spec(source: Source, schema: UUID, rule: UUID, destination: UUID, outputs: Sequence[Output]) -> ReportSpec:
    """Return a report that passes all fields on."""
    return ReportSpec(
        source=source,
        source_schema_id=schema,
        business_key=("id",),
        rules=(rule,),
        target_schema_id=schema,
        transform=Transform(fields=tuple(FieldMapping(field=f.name, expression=f.name) for f in SCHEMA.fields)),
        outputs=tuple(outputs),
        destinations=(destination,),
    )


async def edit(api: Api, path: str, spec: BaseModel) -> None:
    """Publish another version of a definition, in force for every business date."""
    name = (await api.get(path))["name"]
    await api.change(path, {"name": name, "spec": spec.model_dump(mode="json")})
    await api.post(f"{path}/publish", {"effective_from": "2000-01-01"})
