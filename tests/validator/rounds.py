"""Runs as the validator sees them: a dataset is asked for, a real worker judges it in the real jail."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import nkeys
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.definitions.copies import SealedReader
from libs.common.events.runner import ObjectReference, ValidationRequested, VersionReference
from libs.common.identity.grants import GrantSigner
from libs.common.jail import JobServer
from services.validator import store
from services.validator.exceptions.amending import Amender
from services.validator.worker import Worker
from tests.validator.queue import DAY, Queue

FIELDS = [
    {"name": "id", "type": "text", "required": True},
    {"name": "venue", "type": "text", "max_length": 4},
    {"name": "price", "type": "decimal", "precision": 18, "scale": 4},
]
RULES = {
    "venue known": {"kind": "expression", "expression": "venue in ('XLON', 'XPAR')", "on_unknown": "fail"},
    "price positive": {"kind": "expression", "expression": "price > 0"},
}


@dataclass
class Round:
    """What came of a validation."""

    run_id: UUID
    verdict: dict[str, Any]
    failures: list[dict[str, Any]]
    corrections: list[dict[str, Any]]


@dataclass
class Rounds(Queue):
    """A report whose dataset is judged again and again."""

    jail: JobServer = field(kw_only=True)
    columns: dict[str, pa.DataType] = field(default_factory=dict)
    rules: dict[str, UUID] = field(default_factory=lambda: {name: uuid4() for name in RULES})

    def __post_init__(self) -> None:
        seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
        (self.home / "seed").write_bytes(seed)
        self.signer = GrantSigner(self.home / "seed")
        self.public = nkeys.from_seed(bytearray(seed)).public_key.decode()
        self.schema_id = uuid4()

    @property
    def amender(self) -> Amender:
        return Amender(self.jail, SealedReader(self.objects), self.objects)

    async def run(self, *records: Sequence[Any], **more: Any) -> Round:
        """Judge records (id, venue, price) and return what the verdict's event says, with its files.

        `at_once` has the worker take the validation in the transaction that queues it.
        """
        run_id, at_once, worker = more.get("run_id") or uuid4(), more.pop("at_once", False), self._worker()
        request = await self._asked(run_id, records, more)
        async with self.transaction("service:validator") as tx:
            rules = [await self._sealed("rule", id_, name, self._rule(name)) for name, id_ in self.rules.items()]
            await store.keep_run_rules(tx, run_id, rules, [])
            await store.add_job(tx, request.request_id, run_id, request.model_dump(mode="json"))
            reference = {"tenant_id": str(self.tenant), "request_id": str(request.request_id)}
            taken = await worker.take(tx, reference) if at_once else None
        await (worker.work_on(taken) if taken else worker.work(reference))
        told = [(name, data) for name, data in await self.events() if data.get("request_id") == str(request.request_id)]
        ((name, verdict),) = told
        assert name == "validation.completed", verdict
        return Round(run_id, verdict, await self._rows(verdict["failures"]), await self._rows(verdict["corrections"]))

    def _rule(self, name: str) -> dict[str, Any]:
        return {"schema_id": str(self.schema_id), "check": RULES[name]}

    async def _sealed(self, kind: str, id_: UUID, name: str, spec: Any) -> dict[str, Any]:
        sealed = await self.objects.put(f"{self.tenant}/definitions/{kind}/{id_}/1", orjson.dumps({"spec": spec}))
        return {"kind": kind, "id": str(id_), "number": 1, "key": sealed.key, "sha256": sealed.sha256, "name": name}

    async def _asked(self, run_id: UUID, records: Sequence[Any], more: dict[str, Any]) -> ValidationRequested:
        path = self.home / f"{uuid4()}.parquet"
        names = [one["name"] for one in FIELDS]
        columns: dict[str, Any] = {"_ordinal": pa.array(range(1, len(records) + 1), pa.int64())}
        for place, name in enumerate(names):
            columns[name] = pa.array([record[place] for record in records], self.columns.get(name, pa.string()))
        pq.write_table(pa.table(columns), path)
        dataset = ObjectReference(**asdict(await self.objects.put_file(f"{self.tenant}/runs/{run_id}/extract", path)))
        schema = await self._sealed("schema", self.schema_id, "trades", {"fields": FIELDS})
        schema.pop("name")
        writes, expires = f"{self.tenant}/runs/{run_id}/validate/", self.now + timedelta(days=3650)
        grant = self.signer.grant(self.tenant, run_id, "input", reads=(dataset,), writes=writes, expires=expires)
        return ValidationRequested(
            run_id=run_id,
            request_id=uuid4(),
            phase="input",
            report_id=self.report,
            business_date=DAY,
            as_of=self.now,
            schema_version=VersionReference(**schema),
            rules=tuple(self.rules.values()),
            business_key=("id",),
            dataset=dataset,
            rows=len(records),
            grant=grant,
            **{name: value for name, value in more.items() if name != "run_id"},
        )

    def _worker(self) -> Worker:
        settings = SimpleNamespace(
            runner_public_key=self.public, scratch=self.home, memory_mib=256, threads=1, wall_seconds=60, lease_seconds=30, spill_mib=1024
        )  # fmt: skip
        runtime: Any = SimpleNamespace(database=self.database, objects=self.objects, settings=settings)
        return Worker(runtime, self.jail, SealedReader(self.objects))

    async def _rows(self, reference: dict[str, Any] | None) -> list[dict[str, Any]]:
        if reference is None:
            return []
        path = self.home / f"{uuid4()}.parquet"
        await self.objects.fetch(reference["key"], reference["sha256"], path)
        return pq.read_table(path).to_pylist()
