"""What correctable rules change, and what the other rules see then."""

from pathlib import Path

import pytest

from libs.common.jail import JobServer
from tests.validator.judging import judge, record, rule


async def test_a_fix_is_applied_and_recorded(jail: JobServer, tmp_path: Path) -> None:
    """A correctable rule writes old and new value; the other rules see the new one; the record is not held."""
    upper = rule("upper", "ccy == upper(ccy)", severity="correctable", fix={"field": "ccy", "expression": "upper(ccy)"})
    judged = await judge(jail, tmp_path, [rule("code", "currency(ccy)"), upper], [record(), record(ccy="eur")])
    assert [(one["rule_id"], one["severity"]) for one in judged.failures] == [("upper", "correctable")]
    assert judged.outcome.held == 0
    assert judged.corrections == [
        {
            "_ordinal": 2,
            "key": "T1|1",
            "field": "ccy",
            "old_value": "eur",
            "new_value": "EUR",
            "rule_id": "upper",
            "rule_version": 3,
        }
    ]


async def test_a_fix_that_does_not_help_blocks(jail: JobServer, tmp_path: Path) -> None:
    """Where the corrected record still fails its rule, the failure is blocking."""
    bound = rule("bound", "price < 100", severity="correctable", fix={"field": "price", "expression": "price / 10"})
    judged = await judge(jail, tmp_path, [bound], [record(price="500"), record(price="5000")])
    assert [(one["_ordinal"], one["severity"]) for one in judged.failures] == [(1, "correctable"), (2, "blocking")]


async def test_a_fix_heals_what_the_schema_implies(jail: JobServer, tmp_path: Path) -> None:
    """A corrected value is judged in place of the missing one."""
    default = rule(
        "default", "trade_id is not None", severity="correctable", fix={"field": "trade_id", "expression": "action"}
    )
    judged = await judge(jail, tmp_path, [default], [record(trade_id=None)])
    assert [one["rule_id"] for one in judged.failures] == ["default"]


async def test_fixes_follow_each_other(jail: JobServer, tmp_path: Path) -> None:
    """A second fix of the same field starts from what the first one wrote, and comes after it, whatever the rules are called."""
    first = rule("z", "ccy != 'a'", severity="correctable", fix={"field": "ccy", "expression": "'b'"})
    second = rule("a", "ccy != 'b'", severity="correctable", fix={"field": "ccy", "expression": "'c'"})
    judged = await judge(jail, tmp_path, [first, second], [record(ccy="a")])
    assert [(one["old_value"], one["new_value"]) for one in judged.corrections] == [("a", "b"), ("b", "c")]


async def test_a_value_that_was_corrected_is_what_it_became(jail: JobServer, tmp_path: Path) -> None:
    """Records are equal by what a correction wrote, whatever text stood there: for duplicates, groups and counterparts."""
    fix = {"field": "version", "expression": "5"}
    check = {"kind": "expression", "expression": "version > 0", "on_unknown": "fail"}
    counted = {"n": {"function": "count"}}
    rules = [
        rule("unique", {"kind": "unique", "fields": ["version"]}),
        rule("five", check, severity="correctable", fix=fix),
        rule("groups", {"kind": "aggregate", "group_by": ["version"], "measures": counted, "condition": "n == 1"}),
        rule("paired", {"kind": "sequence", "fields": ["version"], "when": "ccy == 'USD'", "requires": "ccy == 'EUR'"}),
    ]
    records = [record(version="x"), record(version="y", ccy="USD"), record(version="5"), record(version="1")]
    judged = await judge(jail, tmp_path, rules, records)
    assert judged.ordinals("five") == [1, 2]
    assert judged.ordinals("unique") == [2, 3]
    assert judged.ordinals("groups") == [1, 2, 3]
    assert judged.ordinals("paired") == []


@pytest.mark.parametrize("empty", ["replace(trade_id, 'T1', '')", "trim(' ')", "''"])
async def test_a_fix_that_leaves_an_empty_text_leaves_nothing(jail: JobServer, tmp_path: Path, empty: str) -> None:
    """An empty text is null after a correction too: a required field is missing then."""
    fix = {"field": "trade_id", "expression": empty}
    rules = [
        rule("cleared", "trade_id != 'T1'", severity="correctable", fix=fix),
        rule("there", "trade_id is not null", severity="warning"),
        rule("full", {"kind": "expression", "expression": "trade_id != 'Z'", "on_unknown": "fail"}),
    ]
    judged = await judge(jail, tmp_path, rules, [record(trade_id="T1"), record(trade_id="T2")])
    assert judged.ordinals("schema:trade_id:required") == judged.ordinals("there") == judged.ordinals("full") == [1]
    assert [one["new_value"] for one in judged.corrections] == [None]


async def test_a_fix_that_an_earlier_one_left_alone_tells_what_the_source_had(jail: JobServer, tmp_path: Path) -> None:
    """Of two fixes of a field the second one's old value is the first one's new value only where that was applied."""
    first = rule("first", "version != 1", severity="correctable", fix={"field": "version", "expression": "2"})
    check = {"kind": "expression", "expression": "version > 2", "on_unknown": "fail"}
    second = rule("second", check, severity="correctable", fix={"field": "version", "expression": "3"})
    judged = await judge(jail, tmp_path, [first, second], [record(version=text) for text in ("01", "x", "002", None)])
    told = [(one["_ordinal"], one["old_value"], one["new_value"]) for one in judged.corrections]
    assert told == [(1, "01", "2"), (1, "2", "3"), (2, "x", "3"), (3, "002", "3"), (4, None, "3")]
