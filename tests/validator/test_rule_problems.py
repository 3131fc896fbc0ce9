"""What is wrong with a rule is told when it is saved: where it stands, what was meant, at a bounded cost."""

from typing import Any

import pytest
from pydantic import ValidationError

from libs.common.vocabulary.rules import RuleSpec
from services.validator.domain import rule_problems
from tests.frugal import CPU_SECONDS, frugally
from tests.validator.judging import SCHEMA, measured, rule


@pytest.mark.parametrize(
    ("check", "field", "told"),
    [
        (measured({"n": {"function": "count"}}, "m > 1"), "condition", "unknown field 'm'"),
        (measured({"n": {"function": "sum", "value": "ccy"}}, "n > 1"), "measures/n/value", "a sum of text"),
        (measured({"n": {"function": "sum", "value": "prise"}}, "n > 1"), "measures/n/value", "did you mean 'price'"),
        (measured({"n": {"function": "count", "where": "price"}}, "n > 1"), "measures/n/where", "boolean"),
        (measured({"n": {"function": "count"}}, "n > 1", group_by=["nothing"]), "group_by/0", "no field 'nothing'"),
        (measured({"n": {"function": "max", "value": "ccy"}}, "n > 1"), "condition", "cannot compare"),
        (
            {"kind": "history", "key": ["trade_id"], "condition": "price == previous_prise"},
            "condition",
            "previous_price",
        ),
        ({"kind": "history", "key": ["x"], "condition": "previous_exists"}, "key/0", "no field 'x'"),
        ({"kind": "history", "key": ["ccy", "ccy"], "condition": "previous_exists"}, "key/1", "'ccy' is named twice"),
        (
            measured({"n": {"function": "count"}}, "n > 1", group_by=["ccy", "ccy"]),
            "group_by/1",
            "'ccy' is named twice",
        ),
        (measured({"n": {"function": "count"}}, "n > 1", group_by=["cy"]), "group_by/0", "did you mean 'ccy'?"),
        (
            measured({"total": {"function": "count"}}, "totl > 1"),
            "condition",
            "expected a measure or a field of group_by",
        ),
        ({"kind": "unique", "fields": ["ccy", "trade_id", "ccy"]}, "fields/2", "'ccy' is named twice"),
    ],
)
def test_what_does_not_fit_is_named(check: dict[str, Any], field: str, told: str) -> None:
    """Each part is looked at where it stands."""
    spec = rule("wrong", check).spec
    problems = rule_problems(spec, SCHEMA, {})
    assert [one.field for one in problems] == [f"/spec/check/{field}"]
    assert told in problems[0].message


def test_a_message_shows_only_what_there_is() -> None:
    """A name in braces is a field or a measure; other braces are plain text."""
    check = measured({"total": {"function": "count"}}, "total > 1")
    assert rule_problems(rule("right", check, message="{ccy} has {total}, {not a name} {}").spec, SCHEMA, {}) == []
    [problem] = rule_problems(rule("wrong", check, message="{ccy} has {totl}").spec, SCHEMA, {})
    assert (problem.field, problem.place) == (
        "/spec/message",
        {"expected": "a field of the schema or a measure", "nearest": "total"},
    )


def test_what_makes_no_sense_is_refused() -> None:
    """Shapes of measures and scopes that cannot be are no rules."""
    for check in (
        measured({"n": {"function": "sum"}}, "true"),
        measured({"n": {"function": "count", "value": "price"}}, "true"),
        measured({"n": {"function": "missing", "fields": ["ccy"]}}, "true"),
        measured({"n": {"function": "count", "fields": ["ccy"]}}, "true"),
        measured({}, "true"),
        measured({"ccy": {"function": "count"}}, "true", group_by=["ccy"]),
    ):
        with pytest.raises(ValidationError):
            rule("wrong", check)
    with pytest.raises(ValidationError, match="input phase"):
        rule("late", {"kind": "history", "key": ["ccy"], "condition": "true"}, phase="output")


def test_scopes() -> None:
    """A rule knows what it has to see."""
    scopes = {
        "record": "price > 1",
        "dataset": measured({"n": {"function": "count"}}, "n > 1"),
        "history": measured({"n": {"function": "count", "of": "previous"}}, "n > 1"),
    }
    for scope, check in scopes.items():
        assert rule("one", check).spec.scope == scope


@pytest.mark.parametrize("number", [2**70, 1e16, -9.1e15])
def test_a_number_that_lost_digits_is_refused_when_it_is_saved(number: float) -> None:
    """In a rule's own tests as in tries: where it stands, and not only when the rule is published."""
    spec = rule("wrong", {"kind": "expression", "expression": "price > 0"}).spec
    tests = [{"records": [{"trade_id": "1"}, {"trade_id": "2", "price": number}]}]
    written = RuleSpec.model_validate({**spec.model_dump(mode="json"), "tests": tests})
    [problem] = rule_problems(written, SCHEMA, {})
    assert problem.field == "/spec/tests/0/records/1/price"
    assert "is no exact number any more" in problem.message
    assert problem.place == {"expected": "the number as a text"}


@pytest.mark.parametrize(
    "text",
    [
        "*" * 4000,
        "abs(" * 800 + "1" + ")" * 800,
        " and ".join(rf"matches(ccy, r'\pL{{1,{number}}}')" for number in range(40, 60)),
        "ccy == '" + "x" * 4000,
    ],
    ids=["signs", "brackets", "patterns", "text"],
)
def test_a_rule_of_many_bombs_is_refused_within_its_budget(text: str) -> None:
    """Twenty-one texts of one rule share what looking at them may cost: the rest is not looked at (S27)."""
    measures = {f"m{number}": {"function": "max", "value": text, "where": text} for number in range(10)}
    spec = rule("bomb", measured(measures, text)).spec
    problems = frugally(lambda _: rule_problems(spec, SCHEMA, {}), text, 2 * CPU_SECONDS)
    assert 0 < len(problems) <= 6
