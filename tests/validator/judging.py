"""What the plan tests share: rows in, judged records out, through the real jail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.jail import JobServer
from libs.common.vocabulary.rules import RuleSpec
from libs.common.vocabulary.schemas import SchemaSpec
from libs.expressions import MappingTable, Moment
from services.validator.jail.broker import Outcome, Request, RuleTally, validate
from services.validator.plan import Plan, ResolvedRule, Subject, build_plan

SCHEMA_ID = uuid5(NAMESPACE_URL, "schema")
VENUES = uuid5(NAMESPACE_URL, "venues")
MOMENT = Moment(date(2026, 11, 20), datetime(2026, 11, 21, 6, tzinfo=UTC))
SCHEMA = SchemaSpec.model_validate(
    {
        "fields": [
            {"name": "trade_id", "type": "text", "required": True},
            {"name": "version", "type": "integer"},
            {"name": "price", "type": "decimal", "precision": 18, "scale": 4},
            {"name": "ccy", "type": "text", "max_length": 3},
            {"name": "venue", "type": "text"},
            {"name": "action", "type": "text"},
        ]
    }
)
NAMES = [field.name for field in SCHEMA.fields]
TABLES = {VENUES: MappingTable("venues", ("mic",))}
MAPPINGS = {"venues": pa.table({"key": ["X", "Y", "1.5", "2.0000", "3"], "mic": ["XLON", "XPAR", None, None, None]})}

Record = Mapping[str, str | None]


@dataclass(frozen=True)
class Judged:
    """A validation's counts and files."""

    outcome: Outcome
    failures: list[dict[str, Any]]
    corrections: list[dict[str, Any]]

    def rule(self, rule_id: str) -> RuleTally:
        return next(rule for rule in self.outcome.rules if rule.rule_id == rule_id)

    def ordinals(self, rule_id: str) -> list[int]:
        return sorted(failure["_ordinal"] for failure in self.failures if failure["rule_id"] == rule_id)


def rule(rule_id: str, check: dict[str, Any] | str, **spec: Any) -> ResolvedRule:
    """Make a rule; a string is its expression."""
    body = {"kind": "expression", "expression": check} if isinstance(check, str) else check
    return ResolvedRule(
        id=rule_id, version=3, spec=RuleSpec.model_validate({"schema_id": str(SCHEMA_ID), "check": body, **spec})
    )


def record(**values: str | None) -> dict[str, str | None]:
    """Make a sound record with some values changed."""
    sound = {"trade_id": "T1", "version": "1", "price": "10.5", "ccy": "EUR", "venue": "X", "action": "NEWT"}
    return {**sound, **values}


def planned(rules: Sequence[ResolvedRule], schema: SchemaSpec = SCHEMA) -> Plan:
    """Plan over text columns."""
    types = {field.name: "VARCHAR" for field in schema.fields}
    return build_plan(
        Subject(source=schema, column_types=types, business_key=("trade_id", "version")), rules, TABLES, MOMENT
    )


async def judge(
    jail: JobServer,
    directory: Path,
    rules: Sequence[ResolvedRule],
    records: Sequence[Record],
    schema: SchemaSpec = SCHEMA,
) -> Judged:
    """Judge records, all columns text, in the jail."""
    columns: dict[str, pa.Array] = {"_ordinal": pa.array(range(1, len(records) + 1), pa.int64())}
    columns |= {field.name: pa.array([one[field.name] for one in records], pa.string()) for field in schema.fields}
    return await judge_table(jail, directory, planned(rules, schema), pa.table(columns))


async def judge_table(jail: JobServer, directory: Path, plan: Plan, table: pa.Table) -> Judged:
    """Judge a table in the jail."""
    data = directory / "data.parquet"
    pq.write_table(table, data, compression="zstd")
    outcome = await validate(jail, Request(plan=plan, data=data, scratch=directory, mappings=MAPPINGS))
    failures = pq.read_table(directory / "failures.parquet").to_pylist()
    corrections = pq.read_table(directory / "corrections.parquet").to_pylist()
    assert len(failures) == outcome.failures
    assert len(corrections) == outcome.corrections
    return Judged(outcome, failures, corrections)


def mapping(alias: str = "venues") -> dict[str, UUID]:
    """Give the venues an alias."""
    return {alias: VENUES}


def measured(measures: dict[str, Any], condition: str, **check: Any) -> dict[str, Any]:
    """Return an aggregate check."""
    return {"kind": "aggregate", "measures": measures, "condition": condition, **check}
