"""The validator's side of a run: what it says of the rows that it was asked about."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.objects import Objects
from services.runner.commands import verdicts

_TEXTS = ("key", "rule_id", "severity", "outcome", "fields", "message")
_FAILURES = pa.schema(
    [
        pa.field("_ordinal", pa.int64()),
        pa.field("rule_version", pa.int32()),
        *(pa.field(n, pa.string()) for n in _TEXTS),
    ]
)


class Validator:
    """One tenant's validator, of which the runner sees verdicts and files."""

    def __init__(self, tenant: UUID, objects: Objects, home: Path) -> None:
        self._tenant, self._objects, self._home = tenant, objects, home

    async def verdict_on(
        self, asked: dict[str, Any], *, held: Sequence[int] = (), rules: Sequence[UUID] = ()
    ) -> dict[str, Any]:
        """Return a verdict on what a `validation.requested` asks."""
        rows, phase = asked["rows"], asked["phase"]
        step = "validate" if phase == "input" else "validate_output"
        prefix = verdicts.granted_prefix({"tenant_id": self._tenant, "id": asked["run_id"]}, step)
        counts = {"rule_id": "r1", "rule_version": 1, "name": "positive", "severity": "blocking", "rows": rows}
        return {
            "run_id": asked["run_id"],
            "request_id": asked["request_id"],
            "phase": phase,
            "rules": [await self._rule_reference(id_) for id_ in rules],
            "counts": [{**counts, "passed": rows - len(held), "failed": len(held), "unknown": 0, "errors": 0}],
            "rows": rows,
            "held": len(held),
            "warned": 0,
            "corrected": 0,
            "failures": await self._failures(prefix, held) if held else None,
            "seconds": 0.01,
        }

    async def _failures(self, prefix: str, held: Sequence[int]) -> dict[str, Any]:
        rows = [
            {
                "_ordinal": ordinal,
                "key": str(ordinal),
                "rule_id": "r1",
                "rule_version": 1,
                "severity": "blocking",
                "outcome": "fail",
                "fields": '{"amount": "-5"}',
                "message": "amount -5 is not positive",
            }
            for ordinal in held
        ]
        path = self._home / f"{uuid4()}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=_FAILURES), path)
        return asdict(await self._objects.put_file(f"{prefix}failures.parquet", path))

    async def _rule_reference(self, id_: UUID) -> dict[str, Any]:
        spec = {
            "schema_id": str(uuid4()),
            "phase": "output",
            "check": {"kind": "expression", "expression": "amount > 0"},
        }
        sealed = await self._objects.put(f"{self._tenant}/definitions/rule/{id_}/1", orjson.dumps({"spec": spec}))
        return {"kind": "rule", "id": str(id_), "number": 1, "key": sealed.key, "sha256": sealed.sha256}
