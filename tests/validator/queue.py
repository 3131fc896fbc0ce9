"""A tenant's exception queue on a real database: failures go in as a validation seals them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Row
from libs.common.events.envelope import Event
from libs.common.events.runner import RunEnded, ValidationRequested
from libs.common.objects import Objects
from services.validator.exceptions import filters
from services.validator.exceptions.filters import Asker, Filter, Part
from services.validator.exceptions.verdicts import Failures, Opener
from services.validator.jail.sealing import FAILURES

DAY = date(2026, 3, 2)
NOW = datetime(2026, 3, 3, 6, tzinfo=UTC)


def failure(ordinal: int, rule: str = "r1", fields: dict[str, str | None] | None = None, **more: Any) -> dict[str, Any]:
    """Make a row of a failures file."""
    shown = {"venue": "XXXX"} if fields is None else fields
    row = {
        "_ordinal": ordinal,
        "key": f"T{ordinal}",
        "rule_id": rule,
        "rule_version": 1,
        "severity": "blocking",
        "outcome": "fail",
        "fields": orjson.dumps(shown).decode(),
        "message": f"record {ordinal} is wrong",
    }
    return {**row, **more}


@dataclass
class Queue:
    """A tenant, its queue, and the time of day."""

    database: Database
    relay_url: str
    home: Path
    tenant: UUID = field(default_factory=uuid4)
    report: UUID = field(default_factory=uuid4)
    now: datetime = NOW

    @property
    def objects(self) -> Objects:
        return Objects((self.home / "objects").as_uri())

    def context(self, actor: str = "user:1", ahead: timedelta = timedelta(0)) -> Context:
        return Context(self.tenant, actor, self.now + ahead)

    def transaction(self, actor: str = "user:1") -> Any:
        return self.database.transaction(self.context(actor))

    async def open(self, failures: Sequence[dict[str, Any]], run: UUID | None = None, phase: str = "input") -> UUID:
        """Open exceptions as a validation does; returns the run's id."""
        run, path = run or uuid4(), self.home / f"{uuid4()}.parquet"
        pq.write_table(pa.Table.from_pylist(list(failures), schema=FAILURES), path)
        opener = self.opener(run, path, phase)
        assert await opener.open_ahead(self.database, self.context("service:validator"), 1)
        async with self.transaction("service:validator") as tx:
            await opener.open_last(tx)
        return run

    def opener(self, run: UUID, failures: Path, phase: str = "input", **more: Any) -> Opener:
        """Return what opens the exceptions of a run's failures."""
        of = {"run_id": run, "report_id": self.report, "business_date": DAY, "phase": phase, **more}
        return Opener(ValidationRequested.model_construct(**of), {"r1": "venue known"}, Failures(failures))

    async def listed(self, **wanted: Any) -> list[Row]:
        """Return the exceptions of a filter, oldest first."""
        async with self.transaction() as tx:
            rows = await tx.rows(filters.listed(Filter(**wanted), Asker(self.tenant, self.now), Part(1000)))
        return sorted(rows, key=lambda row: (row["opened_at"], row["id"]))

    async def one(self, **wanted: Any) -> Row:
        (row,) = await self.listed(**wanted)
        return row

    async def fetch(self, query: str, *arguments: Any) -> list[Row]:
        """Run a query on the tenant's rows."""
        async with self.transaction() as tx:
            rows: list[Row] = await tx.connection.fetch(query, *arguments)
            return rows

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return names and data of the tenant's events, in order."""
        connection = await asyncpg.connect(self.relay_url, server_settings={"search_path": "validator"})
        rows = await connection.fetch(
            "SELECT body FROM outbox WHERE tenant_id = $1 AND subject LIKE 'evt.%' ORDER BY position", self.tenant
        )
        await connection.close()
        bodies = [orjson.loads(row["body"]) for row in rows]
        return [(body["type"].removeprefix("validator.").removesuffix(".v1"), body["data"]) for body in bodies]


def run_ended(queue: Queue, run: UUID, after: str, **more: Any) -> Event:
    """Return the event of a run's end."""
    said = {"before": "validating", "kind": "report", "reason": "enough", **more}
    data = RunEnded(run_id=run, report_id=queue.report, business_date=DAY, after=after, **said)
    return Event.model_construct(data=data.model_dump(mode="json"), name=f"runner.run.{after}", time=queue.now)
