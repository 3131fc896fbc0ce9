"""Rules that are queries: judged by the real engine in the real jail (S3, S7, S33)."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.jail import JobServer
from libs.common.vocabulary.rules import RuleSpec
from libs.expressions import MappingTable, Moment
from libs.expressions.sql import SqlError
from services.validator.domain import rule_problems
from services.validator.jail.broker import Request, validate
from services.validator.plan import Plan, Subject, build_plan
from tests.expressions.sql import legitimate
from tests.validator.judging import MAPPINGS, SCHEMA, VENUES, Judged, judge, mapping, record, rule

RATES = VENUES.__class__(int=7)
_TABLES = {
    VENUES: MappingTable("venues_table", ("mic", "country")),
    RATES: MappingTable("rates_table", ("rate",)),
}
_CONTENTS = {
    "venues_table": pa.table(
        {
            "key": list(legitimate.VENUES),
            "mic": [mic for mic, _ in legitimate.VENUES.values()],
            "country": [country for _, country in legitimate.VENUES.values()],
        }
    ),
    "rates_table": pa.table({"key": list(legitimate.RATES), "rate": list(legitimate.RATES.values())}),
}


def query(rule_id: str, sql: str, **spec: Any) -> Any:
    """Make a rule of a query."""
    return rule(rule_id, {"kind": "sql", "sql": sql}, **spec)


def plan_of(queries: list[str]) -> Plan:
    """Plan queries over the records of the legitimate corpus."""
    aliases = {"venues": VENUES, "rates": RATES}
    rules = [query(str(number), sql, mappings=aliases) for number, sql in enumerate(queries)]
    subject = Subject(
        source=legitimate.SCHEMA, column_types=dict.fromkeys(legitimate.NAMES, "VARCHAR"), business_key=("id",)
    )
    return build_plan(subject, rules, _TABLES, Moment(legitimate.DAY, legitimate.AS_OF))


async def ask(jail: JobServer, directory: Path, plan: Plan, *, wall_seconds: float = 900.0) -> Judged:
    """Run a plan over the records of the legitimate corpus."""
    texts = legitimate.texts()
    columns: dict[str, Any] = {"_ordinal": pa.array(range(1, len(texts) + 1), pa.int64())}
    columns |= {name: pa.array([one[name] for one in texts], pa.string()) for name in legitimate.NAMES}
    pq.write_table(pa.table(columns), directory / "data.parquet")
    data = directory / "data.parquet"
    request = Request(plan=plan, data=data, scratch=directory, mappings=_CONTENTS, wall_seconds=wall_seconds)
    outcome = await validate(jail, request)
    failures = pq.read_table(directory / "failures.parquet").to_pylist()
    return Judged(outcome, failures, [])


async def test_queries_find_what_the_rule_means(jail: JobServer, tmp_path: Path) -> None:
    """Over fifty queries of reporting teams find exactly the records that the same rule, told by Python, finds."""
    plan = plan_of([sql for sql, _ in legitimate.QUERIES])
    judged = await ask(jail, tmp_path, plan)
    rows = legitimate.rows()
    assert [one.problem for one in judged.outcome.errored] == []
    for number, (sql, told) in enumerate(legitimate.QUERIES):
        expected = [row.ordinal for row in rows if told(row, rows)]
        assert judged.ordinals(str(number)) == expected, sql
        assert judged.rule(str(number)).failed == len(expected)


async def test_a_failure_of_a_query_is_like_any_other(jail: JobServer, tmp_path: Path) -> None:
    """Key, fields that the query reads, message and severity; a blocking one holds the record."""
    sql = "SELECT _ordinal FROM records WHERE price > 10 AND venue NOT IN (SELECT key FROM places)"
    found = query("found", sql, message="{price} at {venue}", mappings=mapping("places"))
    judged = await judge(jail, tmp_path, [found], [record(), record(venue="Q", trade_id="T2")])
    [failure] = judged.failures
    assert (failure["key"], failure["message"], failure["severity"]) == ("T2|1", "10.5 at Q", "blocking")
    assert failure["fields"] == '{"price":"10.5","venue":"Q"}'
    assert judged.outcome.held == 1


async def test_a_query_sees_corrected_records(jail: JobServer, tmp_path: Path) -> None:
    """A fix comes first; what the query selects is what goes on."""
    upper = rule("upper", "ccy == upper(ccy)", severity="correctable", fix={"field": "ccy", "expression": "upper(ccy)"})
    lower = query("lower", "SELECT _ordinal FROM records WHERE ccy <> upper(ccy)")
    judged = await judge(jail, tmp_path, [upper, lower], [record(ccy="eur")])
    assert (judged.rule("upper").failed, judged.rule("lower").failed) == (1, 0)


async def test_a_query_sees_what_a_lookup_corrected(jail: JobServer, tmp_path: Path) -> None:
    """A fix may look its condition and its value up in a mapping that the query does not name."""
    mic = {"field": "venue", "expression": "lookup('venues', venue, 'mic')"}
    fix = rule("mic", "not has('venues', venue)", severity="correctable", fix=mic, mappings=mapping())
    asked = query("asked", "SELECT _ordinal FROM records WHERE venue <> 'XLON'")
    judged = await judge(jail, tmp_path, [fix, asked], [record(venue="X"), record(venue="Y"), record(venue="XLON")])
    assert judged.outcome.errored == ()
    assert (judged.rule("mic").failed, judged.ordinals("asked")) == (2, [2])


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT _ordinal + 1 AS _ordinal FROM records", "no record has"),
        ("SELECT CAST(NULL AS BIGINT) AS _ordinal FROM records", "no record has"),
        ("SELECT _ordinal * 100 AS _ordinal FROM records UNION ALL SELECT _ordinal FROM records", "no record has"),
        ("SELECT _ordinal FROM records WHERE CAST(ccy AS INTEGER) > 1", "Could not convert string 'EUR'"),
        ("SELECT _ordinal FROM records WHERE version = (SELECT version FROM records)", "More than one row"),
    ],
)
async def test_a_query_that_goes_wrong_is_an_error(jail: JobServer, tmp_path: Path, sql: str, told: str) -> None:
    """Neither pass nor fail: the rule erred on every record, says why, and the others are judged."""
    judged = await judge(
        jail, tmp_path, [query("wrong", sql), rule("right", "version > 1")], [record(), record(version="2")]
    )
    [wrong] = judged.outcome.errored
    assert (wrong.rule_id, wrong.errors, wrong.failed) == ("wrong", 2, 0)
    assert told in wrong.problem
    assert judged.ordinals("right") == [1]


async def test_no_records_are_asked_too(jail: JobServer, tmp_path: Path) -> None:
    """An empty extract has no failing records."""
    judged = await judge(jail, tmp_path, [query("none", "SELECT _ordinal FROM records")], [])
    assert judged.rule("none").failed == 0


def test_a_refused_query_is_refused_where_it_stands() -> None:
    """The problem names the field, the place, what was expected and the nearest name, in words and as members."""
    spec = RuleSpec.model_validate(
        {"schema_id": str(VENUES), "check": {"kind": "sql", "sql": "SELECT _ordinal\nFROM records WHERE prise > 1"}}
    )
    [problem] = rule_problems(spec, SCHEMA, {})
    assert problem.as_dict() == {
        "field": "/spec/check/sql",
        "message": "line 2, column 20: unknown column 'prise' (expected a column of the tables); did you mean 'price'?",
        "line": 2,
        "column": 20,
        "expected": "a column of the tables",
        "nearest": "price",
        "category": "column",
    }


def test_a_query_must_say_which_records_fail() -> None:
    """A query without ordinals judges nothing."""
    for sql in ("SELECT trade_id FROM records", "SELECT 'x' AS _ordinal FROM records"):
        spec = RuleSpec.model_validate({"schema_id": str(VENUES), "check": {"kind": "sql", "sql": sql}})
        [problem] = rule_problems(spec, SCHEMA, {})
        assert "does not give _ordinal" in problem.message


def test_a_query_is_guarded_again_before_it_runs() -> None:
    """What got past the door in some other way does not get into the jail."""
    with pytest.raises(SqlError):
        plan_of(["SELECT 1 AS _ordinal FROM read_text('x')"])
    assert MAPPINGS
