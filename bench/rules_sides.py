"""The sides of the rules bench; each returns which records fail each rule, and is measured by its caller."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from bench import rules_case as case
from libs.common.jail import MIB, JobServer
from services.validator import queries
from services.validator.jail.broker import Request, validate
from services.validator.plan import Plan
from services.validator.queries import Group
from services.validator.settings import Settings

_DEFAULT = Settings.model_fields
Verdicts = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Bench:
    """What the sides share: the data, a place for results, the engine's threads and memory (the product's defaults)."""

    data: Path
    folder: Path
    threads: int = _DEFAULT["threads"].default
    memory: int = _DEFAULT["memory_mib"].default * MIB

    def engine(self) -> duckdb.DuckDBPyConnection:
        """Return a connection like the product's, in this process."""
        engine = duckdb.connect(
            config={"threads": self.threads, "memory_limit": f"{self.memory}B", "preserve_insertion_order": False}
        )
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute(f"CREATE TEMP VIEW extract AS SELECT * FROM read_parquet('{self.data}')")
        return engine


def scan(engine: duckdb.DuckDBPyConnection) -> None:
    """Read every value of every column that the rules read, and do nothing with it.

    Counting would not read them, nor would the least or the largest: the file's statistics tell those.
    """
    engine.execute(f"SELECT {', '.join(f'last({name})' for name in case.TYPES)} FROM extract").fetchall()


async def fused(bench: Bench, judges: JobServer, plan: Plan) -> None:
    """Judge as a run does: in the jail, every failure kept with key, values and message."""
    request = Request(plan, bench.data, bench.folder, memory=bench.memory, threads=bench.threads)
    await validate(judges, request)


def fused_verdicts(bench: Bench) -> Verdicts:
    """Return what the last validation found."""
    table = pq.read_table(bench.folder / "failures.parquet", columns=["_ordinal", "rule_id", "outcome"])
    found: Verdicts = {}
    for row in table.to_pylist():
        if row["outcome"] == "fail":
            found.setdefault(row["rule_id"], []).append(row["_ordinal"])
    return {name: sorted(ordinals) for name, ordinals in found.items()}


def one_by_one(engine: duckdb.DuckDBPyConnection, plans: dict[str, Plan]) -> Verdicts:
    """Judge the same conditions with one query for each rule, without jail, keys or messages."""
    found: Verdicts = {}
    for name, plan in plans.items():
        group = Group("alone", plan.conditions)
        engine.execute(queries.flag(plan, group))
        engine.execute(queries.count(group)).fetchall()
        rows = engine.execute(
            f"SELECT _ordinal FROM alone WHERE {queries.code_sql(0)} = 1 ORDER BY _ordinal"
        ).fetchall()
        engine.execute("DROP TABLE alone")
        if rows:
            found[name] = [row[0] for row in rows]
    return found


def plans_alone(bench: Bench, count: int) -> dict[str, Plan]:
    """Return a plan for each rule that has nothing but its condition."""
    plans = {}
    for rule in case.rules(count):
        plan = case.plan(bench.data, [rule])
        plans[rule.id] = plan.model_copy(
            update={"conditions": tuple(one for one in plan.conditions if one.rule_id == rule.id)}
        )
    return plans


def row_by_row(bench: Bench) -> Verdicts:
    """Judge ten rules in a plain Python loop over batches of records."""
    found: Verdicts = {}
    checks = list(case.PYTHON.items())
    for batch in pq.ParquetFile(bench.data).iter_batches(65_536):
        for record in batch.to_pylist():
            for name, check in checks:
                if check(record) is False:
                    found.setdefault(name, []).append(record["_ordinal"])
    return found
