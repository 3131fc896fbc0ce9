"""One tenant's runner under test: definitions, a source file, verdicts as the validator's events say them."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import nkeys
import orjson

from libs.common.bus.subscriptions import find
from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Row
from libs.common.events.envelope import Event
from libs.common.identity.grants import GrantSigner
from libs.common.jail import JobServer
from libs.common.objects import Objects
from services.runner import handlers
from services.runner.commands.creation import Order, create_run
from services.runner.library import Library
from services.runner.settings import Roots, RunnerSettings
from services.runner.steps.executor import Executor
from services.runner.steps.job import Tools
from services.runner.steps.leases import Leases
from services.runner.steps.workspace import Workspaces
from services.runner.store import parts, runs
from tests.runner.verdicts import Validator

DAY = date(2026, 3, 2)
SOURCE = "id,amount\n1,10\n2,20\n3,-5\n"
SCHEMA = {"fields": [{"name": "id", "type": "text", "required": True}, {"name": "amount", "type": "integer"}]}


@dataclass
class Clock:
    """The time of day, moved by hand."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class World:
    """What a test needs to drive runs by hand."""

    def __init__(
        self,
        database: Database,
        reaper: Database,
        urls: dict[str, str],
        jobs: JobServer,
        seed_file: Path,
        home: Path,
    ) -> None:
        self.database, self.reaper, self.urls, self.home = database, reaper, urls, home
        self.jobs, self.seed_file = jobs, seed_file
        self.tenant = uuid4()
        self.clock = Clock()
        self.objects = Objects((home / "objects").as_uri())
        self.library = Library(self.objects)
        self.validator = Validator(self.tenant, self.objects, home)
        for name in ("in", "out"):
            (home / name).mkdir(exist_ok=True)
        self.report_id = uuid4()
        self.settings = self.make_settings()
        self.executor = self.make_executor()

    @staticmethod
    def new_seed(path: Path) -> Path:
        path.write_bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))
        return path

    def make_settings(self, **more: Any) -> RunnerSettings:
        values = {
            "database_url": self.urls["runner_server"],
            "relay_database_url": self.urls["runner_relay"],
            "reaper_database_url": self.urls["runner_reaper"],
            "nats_url": "nats://127.0.0.1:1",
            "nkey_seed_file": self.seed_file,
            "objects": (self.home / "objects").as_uri(),
            "listen_port": 1,
            "public_url": "http://localhost:8080",
            "scratch": self.home / "scratch",
            "retry_seconds": 0.01,
        }
        return RunnerSettings(**{**values, **more})

    def make_executor(self, database: Database | None = None, **more: Any) -> Executor:
        settings = self.make_settings(**more)
        tools = Tools(
            settings=settings,
            library=self.library,
            jobs=self.jobs,
            signer=GrantSigner(self.seed_file),
            leases=Leases(None),  # type: ignore[arg-type] # file connectors have no credentials
            policy=settings.outbound_policy(),
            sources=Roots({str(self.tenant): {"in": self.home / "in"}}),
            destinations=Roots({str(self.tenant): {"out": self.home / "out"}}),
            now=self.clock,
        )
        workspaces = Workspaces(self.objects, self.home / f"scratch-{uuid4()}")
        workspaces.prepare()
        return Executor(database or self.database, tools, workspaces)

    def context(self, actor: str = "user:1") -> Context:
        return Context(self.tenant, actor, self.clock())

    # definitions

    async def publish(self, kind: str, spec: Any, *, id_: UUID | None = None, number: int = 1, **more: Any) -> UUID:
        """Seal a version and tell the runner of it."""
        id_ = id_ or uuid4()
        body = orjson.dumps({"spec": spec})
        sealed = await self.objects.put(f"{self.tenant}/definitions/{kind}/{id_}/{number}", body)
        data = {
            "kind": kind,
            "id": str(id_),
            "name": more.get("name", f"{kind} {str(id_)[:4]}"),
            "number": number,
            "effective_from": more.get("effective_from", "0001-01-01"),
            **asdict(sealed),
        }
        service = "validator" if kind == "rule" else "catalog"
        if service == "catalog":
            await self.hear(f"catalog.{kind}.published", data)
        return id_

    async def setup(
        self, content: str = SOURCE, *, outputs: Sequence[dict[str, Any]] = ({"format": "csv"},), **report: Any
    ) -> UUID:
        """Publish a report with all that it needs; return its id."""
        (self.home / "in" / f"trades-{DAY}.csv").write_text(content)
        schema = await self.publish("schema", SCHEMA)
        connector = await self.publish("connector", {"kind": "file", "root": "in"})
        destination = await self.publish("destination", {"kind": "directory", "root": "out", "path": "reports"})
        fields = [{"field": "id", "expression": "id"}, {"field": "amount", "expression": "amount"}]
        spec = {
            "source": {"kind": "file", "connector_id": str(connector), "file": "trades-{business_date}.csv"},
            "source_schema_id": str(schema),
            "business_key": ["id"],
            "target_schema_id": str(schema),
            "transform": {"fields": fields},
            "outputs": list(outputs),
            "destinations": [str(destination)],
            **report,
        }
        return await self.publish("report", spec, id_=self.report_id, name="trades")

    # the bus's side

    def event(self, name: str, data: dict[str, Any]) -> Event:
        return Event(
            specversion="1.0",
            id=uuid4(),
            source=name.split(".", 1)[0],
            type=f"{name}.v1",
            subject="s",
            time=self.clock(),
            dataschema="d",
            tenantid=self.tenant,
            actor="service:test",
            sequence=1,
            data=orjson.loads(orjson.dumps(data)),
        )

    async def hear(self, name: str, data: dict[str, Any]) -> None:
        """Hand an event to its handler, as the reader does."""
        handler = find(handlers.SUBSCRIPTIONS, f"evt.{self.tenant}.{name}")
        assert handler is not None
        async with self.database.transaction(self.context("service:runner")) as tx:
            await handler(tx, self.event(name, data))

    async def verdict(
        self, run_id: UUID, phase: str = "input", *, held: Sequence[int] = (), rules: Sequence[UUID] = (), **more: Any
    ) -> dict[str, Any]:
        """Answer a run's open request as the validator does: `held` are the ordinals with a blocking failure."""
        async with self.database.transaction(self.context()) as tx:
            request = (await parts.validations(tx, run_id))[phase]
            rows = (await parts.balances(tx, run_id))[-1][1].records_out
        asked = {"run_id": str(run_id), "request_id": str(request["request_id"]), "phase": phase, "rows": rows}
        data = {**await self.validator.verdict_on(asked, held=held, rules=rules), **more}
        await self.hear("validator.validation.completed", data)
        return data

    # runs

    async def start(self, **more: Any) -> UUID:
        """Create a run by hand."""
        async with self.database.transaction(self.context()) as tx:
            run = await create_run(tx, self.library, Order(self.report_id, more.get("business_date", DAY)))
        run_id: UUID = run["id"]
        return run_id

    async def attempt(self, run_id: UUID, executor: Executor | None = None) -> str:
        """Let a worker take the run, and return its status then."""
        await (executor or self.executor).attempt(self.tenant, run_id)
        return await self.status(run_id)

    async def run_through(self, *, held: Sequence[int] = (), business_date: date = DAY) -> UUID:
        """Bring a new run to its end."""
        run_id = await self.start(business_date=business_date)
        assert await self.attempt(run_id) == "validating"
        await self.verdict(run_id, held=held)
        await self.attempt(run_id)
        return run_id

    async def run(self, run_id: UUID) -> Row:
        async with self.database.transaction(self.context()) as tx:
            return await runs.find(tx, run_id)

    async def status(self, run_id: UUID) -> str:
        status: str = (await self.run(run_id))["status"]
        return status

    async def read(self, run_id: UUID) -> dict[str, Any]:
        """Return everything that belongs to a run."""
        async with self.database.transaction(self.context()) as tx:
            return {
                "run": await runs.find(tx, run_id),
                "steps": {row["step"]: row for row in await parts.steps(tx, run_id)},
                "ledger": dict(await parts.balances(tx, run_id)),
                "artifacts": await parts.artifacts(tx, run_id),
                "deliveries": await parts.deliveries(tx, run_id),
                "progress": await parts.progress_after(tx, run_id, 0),
            }

    async def events(self) -> list[dict[str, Any]]:
        """Return the tenant's events in the outbox, in order."""
        connection = await asyncpg.connect(self.urls["runner_relay"], server_settings={"search_path": "runner"})
        rows = await connection.fetch(
            "SELECT body FROM outbox WHERE tenant_id = $1 AND subject LIKE 'evt.%' ORDER BY position", self.tenant
        )
        await connection.close()
        return [orjson.loads(row["body"]) for row in rows]

    def delivered(self) -> list[str]:
        """Return the names of delivered files; work in progress would show."""
        folder = self.home / "out" / "reports"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    async def clean(self) -> None:
        """End what a test left open, so that other tests' sweepers find nothing of it."""
        await self.executor.close()
        connection = await asyncpg.connect(self.urls["runner_server"], server_settings={"search_path": "runner"})
        await connection.execute(f"SET app.tenant_id = '{self.tenant}'")
        await connection.execute(
            "UPDATE run SET status = 'cancelled', ended_at = now(), lease_until = NULL WHERE ended_at IS NULL"
        )
        await connection.close()
