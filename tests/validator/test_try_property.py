"""A try says what a run says: any rules of any kind, on any records (S3, S42)."""

import csv
import io
import random
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.jail import JobServer
from libs.common.vocabulary.mappings import MappingEntry, MappingSpec
from libs.common.vocabulary.rules import RuleSpec
from services.validator.case import Case
from services.validator.columns import column_types
from services.validator.domain import rule_problems
from services.validator.jail.broker import validate
from services.validator.jail.sealing import describe
from services.validator.plan import ResolvedRule
from services.validator.trying import judge
from tests.expressions.making import Maker
from tests.expressions.test_differential import MOMENT, SCHEMA, raw_records
from tests.validator.judging import VENUES

NAMES = [field.name for field in SCHEMA.fields]
MAPPING = MappingSpec(
    columns=("lei", "country"),
    entries=(
        MappingEntry(key="CP1", values={"lei": "LEI1", "country": "DE"}),
        MappingEntry(key="LEI1", values={"lei": "deep"}),
    ),
)
SIGNS = ("<", "<=", "=", "<>", ">", ">=")


def checks(maker: Maker) -> list[dict[str, Any]]:
    """Return a check of each kind, chosen by the maker's dice."""
    dice = maker.dice
    fields = dice.sample(NAMES, 2)
    number = dice.choice(("quantity", "price", "amount"))
    sign = dice.choice(SIGNS)
    figures = {
        "n": {"function": "count"},
        "total": {"function": "sum", "value": number},
        "most": {"function": "max", "value": maker.make("number", 1)},
    }
    return [
        *({"kind": "expression", "expression": maker.make("boolean", 3), "on_unknown": way} for way in ("pass", "fail")),
        {"kind": "unique", "fields": fields},
        {"kind": "reference", "field": dice.choice(("code", "ident", "other")), "mapping": "cp"},
        {"kind": "sequence", "fields": fields[:1], "when": maker.make("boolean", 2), "requires": maker.make("boolean", 2)},
        {"kind": "aggregate", "group_by": fields[:1], "measures": figures, "condition": f"n < {dice.randint(1, 4)} or total > most"},
        {"kind": "history", "key": fields, "condition": f"{number} == previous_{number}", "on_unknown": dice.choice(("pass", "fail"))},
        {"kind": "sql", "sql": f"SELECT _ordinal FROM records r WHERE r.{number} {sign} (SELECT avg({number}) FROM records)"},
        {"kind": "sql", "sql": f"SELECT r._ordinal FROM records r JOIN cp ON cp.key = r.code WHERE r.{fields[0]} IS NOT NULL"},
        {"kind": "sql", "sql": f"SELECT _ordinal FROM records WHERE CAST(code AS DOUBLE) {sign} 3"},
    ]  # fmt: skip


def rules(maker: Maker) -> list[ResolvedRule]:
    """Return the rules that could be saved, of every kind, severities mixed."""
    found = []
    for number, check in enumerate(checks(maker)):
        severity = maker.dice.choice(("blocking", "warning"))
        spec = RuleSpec.model_validate(
            {"schema_id": str(VENUES), "check": check, "severity": severity, "mappings": {"cp": VENUES}}
        )
        if not rule_problems(spec, SCHEMA, {"cp": MAPPING}):
            found.append(ResolvedRule(id=f"rules/{number}", version=1, spec=spec))
    return found


def extract(records: list[dict[str, str | None]], path: Path) -> None:
    """Write the records as CSV, and seal that as a run's extraction would: ordinals, and every field as text."""
    out = io.StringIO()
    writer = csv.DictWriter(out, NAMES, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(records)
    source = path.with_suffix(".csv")
    source.write_text(out.getvalue(), encoding="utf-8")
    duckdb.sql(
        f"COPY (SELECT row_number() OVER () AS _ordinal, * FROM read_csv('{source}', all_varchar = true, header = true, "
        f"parallel = false)) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
    )


def compared(failures: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return all that is said of failures, in one order."""
    return sorted(tuple(str(value) for value in one.values()) for one in failures)


QUICK = settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@QUICK
@given(st.integers(0, 2**32), st.integers(0, 25))
async def test_a_try_says_what_a_run_says(jail: JobServer, seed: int, count: int) -> None:
    """S3, S42: same counts, failures, keys, fields and messages, whatever the rules and the records."""
    await check_alike(jail, seed, count)


@pytest.mark.long
@settings(QUICK, max_examples=100)
@given(st.integers(0, 2**32), st.integers(0, 60))
async def test_tries_say_what_runs_say(jail: JobServer, seed: int, count: int) -> None:
    """S3, S42: the same, much more often."""
    await check_alike(jail, seed, count)


async def check_alike(jail: JobServer, seed: int, count: int) -> None:
    """Judge random records by random rules as a try and as a run."""
    maker = Maker(seed)
    records = raw_records(random.Random(seed), count)  # noqa: S311 - for variety, not for secrets
    case = Case(SCHEMA, rules(maker), {VENUES: MAPPING}, ("code", "quantity"), "input", MOMENT)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        data = scratch / "extract.parquet"
        extract(records, data)
        columns = column_types(await describe(jail, data, None))
        request = case.request(data, scratch, columns, memory_mib=512, threads=2, wall_seconds=60)
        outcome = await validate(jail, request)
        failures = pq.read_table(scratch / "failures.parquet").to_pylist()
        given_records = pq.read_table(data, columns=NAMES).to_pylist()
    tried = await judge(jail, case, given_records)
    assert [one.model_dump() for one in tried.outcome.rules] == [one.model_dump() for one in outcome.rules]
    assert (tried.outcome.held, tried.outcome.failures) == (outcome.held, outcome.failures)
    assert compared(tried.failures) == compared(failures)
