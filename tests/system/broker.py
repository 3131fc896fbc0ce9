"""The demo's job for a tenant: a broker's week of trades, described once and run as often as a story needs."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from examples.broker_week import job
from examples.broker_week.auth016 import xsd_set
from examples.broker_week.definitions import database_source, definitions
from examples.broker_week.parties import FIRM_LEI
from examples.broker_week.source import load
from examples.broker_week.week import week
from tests.system.world import Tenant, World, connected

ROWS, HELD = 5000, 115
AS_OF = datetime(2026, 3, 9, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Broker:
    """A tenant with the demo's report."""

    tenant: Tenant
    report: UUID

    async def start(self, day: date) -> UUID:
        """Start a run."""
        return await job.start(self.tenant.api, self.report, day, AS_OF)


async def broker(world: World, name: str) -> Broker:
    """Make a tenant, load the week into a source database and describe the report."""
    tenant, source, made = await world.tenant(name), await world.database(), week()
    async with connected(source.url) as connection:
        await load(connection, made)
    connector = await job.connector(tenant.api, "trades", source.connector(), {"password": source.password})
    parts = definitions(
        [row._asdict() for row in made.instruments],
        [row._asdict() for row in made.counterparties],
        [row._asdict() for row in made.clients],
        FIRM_LEI,
    )
    schemas = xsd_set()
    paths = [world.home / file.name for file in schemas.files]
    for path, file in zip(paths, schemas.files, strict=True):
        path.write_text(file.content, encoding="utf-8")
    report = await job.describe(tenant.api, parts, database_source(connector), paths, tenant.destination)
    return Broker(tenant, report)
