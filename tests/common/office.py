"""One tenant's definitions, and the people who make, check and publish them, on a real PostgreSQL."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
from pydantic import TypeAdapter

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.definitions import gate, policies, proposals, store
from libs.common.definitions.commands import Definitions
from libs.common.definitions.copies import SealedReader
from libs.common.definitions.gate import Decision
from libs.common.definitions.kinds import Kind
from libs.common.events.envelope import Event
from libs.common.objects import Objects
from libs.common.vocabulary.policies import PublicationPolicy
from libs.common.vocabulary.schemas import SchemaSpec
from services.catalog.commands import set_policy

SCHEMA = Kind("schema", "schemas", TypeAdapter(SchemaSpec), replayed=True)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MAKER, OTHER = "user:1", "user:2"


def spec(name: str = "price") -> dict[str, Any]:
    return {"fields": [{"name": name, "type": "decimal"}]}


class Office:
    """One tenant's definitions, and the people who work on them."""

    def __init__(self, database: Database, home: Path, urls: dict[str, str]) -> None:
        self.database, self.urls = database, urls
        objects = Objects(f"file://{home}")
        self.definitions = Definitions({"schema": SCHEMA}, objects, SealedReader(objects))
        self.context, self.moment = Context(uuid4(), MAKER, NOW), NOW

    def by(self, actor: str, *, owner: str | None = None, after: timedelta = timedelta()) -> Any:
        """Open a transaction of somebody's, at some time."""
        self.moment += timedelta(milliseconds=2)
        return self.database.transaction(replace(self.context, actor=actor, owner=owner, now=self.moment + after))

    async def asks(self, **policy: Any) -> None:
        async with self.by("user:admin") as tx:
            row = await policies.find_policy(tx)
            await set_policy(tx, row["revision"] if row else 0, PublicationPolicy(**policy))

    async def drafted(self) -> UUID:
        async with self.by(MAKER) as tx:
            id_: UUID = await self.definitions.create(tx, SCHEMA, "trades", spec())
        return id_

    async def publish(self, id_: UUID, actor: str = MAKER, *, since: date | None = None, **more: Any) -> bool:
        async with self.by(actor, **more) as tx:
            published: bool = await self.definitions.publish(tx, SCHEMA, id_, since)
        return published

    async def approve(self, id_: UUID, actor: str = OTHER, sha256: str | None = None, **more: Any) -> None:
        async with self.by(actor, **more) as tx:
            await self.definitions.approve(tx, SCHEMA, id_, Decision("seen", sha256))

    async def edit(self, id_: UUID, actor: str, name: str) -> None:
        async with self.by(actor) as tx:
            row = await store.find(tx, "schema", id_)
            await self.definitions.edit(tx, SCHEMA, id_, row["revision"], "trades", spec(name))

    async def seen(self, id_: UUID, after: timedelta = timedelta()) -> tuple[Any, Any]:
        """Return the definition and its newest proposal."""
        async with self.by(MAKER, after=after) as tx:
            return await store.find(tx, "schema", id_), next(iter(await proposals.of(tx, id_, most=1)), None)

    async def status(self, id_: UUID) -> tuple[int, str]:
        row, last = await self.seen(id_)
        return row["latest"], last["status"]

    async def completed(self, id_: UUID, after: timedelta = timedelta(), **more: Any) -> None:
        """Say what the runner says when a backtest is over."""
        _, last = await self.seen(id_)
        draft = {"kind": "schema", "id": str(id_), "number": 1, "key": "k", "sha256": last["sha256"]}
        told = {"backtest_id": str(uuid4()), "proposal_id": str(last["id"]), "draft": draft, "runs": 3, "failed": 0}
        told |= {"counts": {"newly_failing": 2, "records": 30}, **more}
        event = Event(
            specversion="1.0", id=uuid4(), source="runner", type="runner.backtest.completed.v1", subject="s", time=NOW,
            dataschema="d", tenantid=self.context.tenant_id, actor="service:runner", sequence=1, data=told,
        )  # fmt: skip
        async with self.by("service:catalog", after=after) as tx:
            await gate.on_backtest_completed({"schema": SCHEMA})(tx, event)

    async def events(self) -> list[str]:
        connection = await asyncpg.connect(self.urls["catalog_relay"], server_settings={"search_path": "catalog"})
        rows = await connection.fetch(
            "SELECT body FROM outbox WHERE tenant_id = $1 ORDER BY position", self.context.tenant_id
        )
        await connection.close()
        return [orjson.loads(row["body"])["type"].split(".")[2] for row in rows]
