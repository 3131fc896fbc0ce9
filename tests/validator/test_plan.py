"""Every kind of check, judged by the real engine in the real jail (S39: every failing record is kept, never a sample)."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from libs.common.jail import JobServer
from libs.common.vocabulary.schemas import SchemaSpec
from libs.expressions import ExpressionError
from services.validator.plan import Subject, build_plan
from tests.validator.judging import MOMENT, SCHEMA, judge, judge_table, mapping, planned, record, rule


async def test_nothing_wrong_is_nothing_reported(jail: JobServer, tmp_path: Path) -> None:
    """Sound records pass every rule and leave empty files."""
    judged = await judge(jail, tmp_path, [rule("positive", "price > 0")], [record(), record(trade_id="T2")])
    assert (judged.outcome.rows, judged.outcome.held, judged.failures) == (2, 0, [])
    assert judged.rule("positive").passed == 2


async def test_no_records_at_all(jail: JobServer, tmp_path: Path) -> None:
    """An empty extract is judged too."""
    judged = await judge(jail, tmp_path, [rule("positive", "price > 0")], [])
    assert (judged.outcome.rows, judged.outcome.failures) == (0, 0)


async def test_a_failure_names_record_rule_fields_and_reason(jail: JobServer, tmp_path: Path) -> None:
    """A failing record is kept with key, version, raw field texts and the rendered message."""
    positive = rule(
        "positive", "price > 0", message="price {price} of {trade_id}: {not a field}", fields=("price", "ccy")
    )
    judged = await judge(jail, tmp_path, [positive], [record(), record(price="-1.50", trade_id="T|2")])
    [failure] = judged.failures
    assert json.loads(failure.pop("fields")) == {
        "price": "-1.50",
        "ccy": "EUR",
        "trade_id": "T|2",
    }
    assert failure == {
        "_ordinal": 2,
        "key": "T\\|2|1",
        "rule_id": "positive",
        "rule_version": 3,
        "severity": "blocking",
        "outcome": "fail",
        "message": "price -1.50 of T|2: {not a field}",
    }


async def test_a_rule_without_a_message_shows_its_condition_as_written(jail: JobServer, tmp_path: Path) -> None:
    """Braces inside the condition are no places for fields, and bring no field's value along."""
    rules = [
        rule("one", "ccy == '{trade_id}'"),
        rule("many", {"kind": "aggregate", "measures": {"n": {"function": "count"}}, "condition": "'{n}' == '{ccy}'"}),
    ]
    judged = await judge(jail, tmp_path, rules, [record(trade_id="SECRET")])
    told = {one["rule_id"]: (one["message"], list(json.loads(one["fields"]))) for one in judged.failures}
    assert told["one"] == ("does not hold: ccy == '{trade_id}'", ["ccy"])
    assert told["many"] == ("does not hold: '{n}' == '{ccy}' (n 1)", [])


async def test_messages_cannot_carry_sql(jail: JobServer, tmp_path: Path) -> None:
    """Quotes and braces in messages and data are text."""
    hostile = rule("hostile", "price > 0", message="it's {price}'; DROP TABLE held; -- {trade_id}")
    judged = await judge(jail, tmp_path, [hostile], [record(price="-1", trade_id="'; DROP TABLE held; --")])
    assert judged.failures[0]["message"] == "it's -1'; DROP TABLE held; -- '; DROP TABLE held; --"


async def test_unknown_passes_or_fails_as_declared(jail: JobServer, tmp_path: Path) -> None:
    """A condition that a null leaves undecided is counted as unknown, and reported only where the rule says so."""
    lenient = rule("lenient", "price > 0")
    strict = rule("strict", {"kind": "expression", "expression": "price > 0", "on_unknown": "fail"})
    judged = await judge(jail, tmp_path, [lenient, strict], [record(price=None), record(price="-1"), record()])
    for name in ("lenient", "strict"):
        tally = judged.rule(name)
        assert (tally.passed, tally.failed, tally.unknown) == (1, 1, 1)
    assert judged.ordinals("lenient") == [2]
    assert {(one["_ordinal"], one["outcome"]) for one in judged.failures if one["rule_id"] == "strict"} == {
        (1, "unknown"),
        (2, "fail"),
    }


async def test_warnings_hold_nothing(jail: JobServer, tmp_path: Path) -> None:
    """A warning is reported with its severity and holds no record."""
    judged = await judge(jail, tmp_path, [rule("warn", "price > 0", severity="warning")], [record(price="-1")])
    assert (judged.outcome.held, judged.failures[0]["severity"]) == (0, "warning")


async def test_what_the_schema_implies(jail: JobServer, tmp_path: Path) -> None:
    """Type, required and length are blocking checks of their own, also of fields that no rule reads."""
    judged = await judge(
        jail,
        tmp_path,
        [],
        [
            record(),
            record(version="1.5"),
            record(trade_id=""),
            record(trade_id=None),
            record(ccy="EURO"),
            record(price="x"),
        ],
    )
    assert judged.ordinals("schema:version:type") == [2]
    assert judged.ordinals("schema:trade_id:required") == [3, 4]
    assert judged.ordinals("schema:ccy:length") == [5]
    assert judged.ordinals("schema:price:type") == [6]
    assert judged.outcome.held == 5


async def test_unique_keeps_the_first(jail: JobServer, tmp_path: Path) -> None:
    """Of equal records the first by ordinal stays; nulls are equal; values compare by type, not spelling."""
    unique = rule("unique", {"kind": "unique", "fields": ["trade_id", "version"]})
    versions = ["1", "01", None, None, "2", "x", "y", "x"]
    judged = await judge(jail, tmp_path, [unique], [record(version=version) for version in versions])
    assert judged.ordinals("unique") == [2, 4, 8]
    assert judged.rule("unique").failed == 3


async def test_reference_needs_a_valid_key(jail: JobServer, tmp_path: Path) -> None:
    """A value that is no key of the mapping fails; null passes."""
    known = rule("known", {"kind": "reference", "field": "venue", "mapping": "venues"}, mappings=mapping())
    judged = await judge(jail, tmp_path, [known], [record(venue="X"), record(venue="Z"), record(venue=None)])
    assert judged.ordinals("known") == [2]
    assert judged.failures[0]["message"] == "venue Z is not in venues"


async def test_a_number_s_key_may_have_its_zeros_or_not(jail: JobServer, tmp_path: Path) -> None:
    """The mapping has 1.5, 2.0000 and 3: however the source writes these numbers, they are found, and no others."""
    known = rule("known", {"kind": "reference", "field": "price", "mapping": "venues"}, mappings=mapping())
    written = ["1.5", "1.5000", "01.50", "2", "2.00", "3.0", "3.0001", "15", "0.15", None, "bad"]
    judged = await judge(jail, tmp_path, [known], [record(price=price) for price in written])
    assert judged.ordinals("known") == [7, 8, 9]


async def test_sequence_needs_its_counterpart(jail: JobServer, tmp_path: Path) -> None:
    """A cancellation without an original of the same id fails, wherever the original stands."""
    check = {"kind": "sequence", "fields": ["trade_id"], "when": "action == 'CANC'", "requires": "action == 'NEWT'"}
    records = [record(trade_id="A", action="CANC"), record(trade_id="A"), record(trade_id="B", action="CANC")]
    judged = await judge(jail, tmp_path, [rule("order", check)], records)
    assert judged.ordinals("order") == [3]


async def test_an_erring_rule_takes_no_other_down(jail: JobServer, tmp_path: Path) -> None:
    """A condition that the engine cannot compute errs record by record, and the others are judged as ever."""
    plan = planned([rule("positive", "price > 0"), rule("erring", "trade_id != 'x'")])
    erring = 'CAST("t"."trade_id" AS INTEGER) > 0'
    conditions = [
        one.model_copy(update={"holds": erring}) if one.rule_id == "erring" else one for one in plan.conditions
    ]
    table = pa.table(
        {
            "_ordinal": pa.array([1, 2, 3], pa.int64()),
            **{name: [value] * 3 for name, value in record(price="-1").items()},
            "trade_id": ["1", "abc", "-1"],
        }
    )
    judged = await judge_table(jail, tmp_path, plan.model_copy(update={"conditions": tuple(conditions)}), table)
    tally = judged.rule("erring")
    assert (tally.passed, tally.failed, tally.errors) == (1, 1, 1), tally.problem
    assert [one["outcome"] for one in judged.failures if one["rule_id"] == "erring"] == ["fail", "error"]
    assert judged.rule("positive").failed == 3
    assert [one.rule_id for one in judged.outcome.errored] == ["erring"]


async def test_a_rule_that_cannot_be_bound_errs_for_all(jail: JobServer, tmp_path: Path) -> None:
    """A condition that the engine refuses outright is an error of every record, with its reason."""
    plan = planned([rule("positive", "price > 0"), rule("odd", "version > 0")])
    conditions = [
        one.model_copy(update={"holds": "no_such(1)"}) if one.rule_id == "odd" else one for one in plan.conditions
    ]
    table = pa.table({"_ordinal": pa.array([1], pa.int64()), **{name: [value] for name, value in record().items()}})
    judged = await judge_table(jail, tmp_path, plan.model_copy(update={"conditions": tuple(conditions)}), table)
    assert judged.rule("odd").errors == 1
    assert "no_such" in judged.rule("odd").problem
    assert judged.rule("positive").passed == 1


async def test_failures_are_sorted_by_key_and_ordinal(jail: JobServer, tmp_path: Path) -> None:
    """The failures file is in the order in which it is searched."""
    ids = ["B", "A", "C", "A"]
    judged = await judge(jail, tmp_path, [rule("never", "price < 0")], [record(trade_id=name) for name in ids])
    assert [(one["key"], one["_ordinal"]) for one in judged.failures] == [
        ("A|1", 2),
        ("A|1", 4),
        ("B|1", 1),
        ("C|1", 3),
    ]


async def test_transformed_output_is_judged_by_its_key(jail: JobServer, tmp_path: Path) -> None:
    """Rules of the output phase read typed target fields and the key that the transform carried along."""
    schema = SchemaSpec.model_validate({"fields": [{"name": "amount", "type": "decimal", "precision": 10, "scale": 2}]})
    subject = Subject(source=schema, column_types={"amount": "DECIMAL(10,2)"}, phase="output")
    rules = [rule("positive", "amount > 0", phase="output"), rule("input", "amount > 100")]
    plan = build_plan(subject, rules, {}, MOMENT)
    amounts = pa.array(["1.00", "-1.00"]).cast(pa.decimal128(10, 2))
    table = pa.table({"_ordinal": pa.array([7, 9], pa.int64()), "_key": ["K7", "K9"], "amount": amounts})
    judged = await judge_table(jail, tmp_path, plan, table)
    assert [(one["key"], one["rule_id"], one["fields"]) for one in judged.failures] == [
        ("K9", "positive", '{"amount":"-1.00"}')
    ]


def test_a_rule_that_does_not_compile_is_refused() -> None:
    """Planning refuses what the language refuses, and fields that the schema lacks."""
    for check in ("price >", {"kind": "unique", "fields": ["nothing"]}):
        with pytest.raises(ExpressionError):
            planned([rule("bad", check)], SCHEMA)
