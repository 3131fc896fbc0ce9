"""When indicators change state, which threshold counts, and where values are going; against independent arithmetic."""

import random
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from statistics import linear_regression
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from libs.common.vocabulary.indicators import ThresholdSpec
from services.validator.indicators.measures import Ending, FieldCounts, PhaseCounts, RuleFailures, measurements
from services.validator.indicators.states import Standing, Threshold, choose, judge
from services.validator.indicators.trend import RUNS, trend

END = datetime(2026, 3, 9, 8, 30, 0, 999_000, UTC)


def threshold(**values: Any) -> ThresholdSpec:
    return ThresholdSpec.model_validate({"metric": "error_rate", "warning": "0.02", "critical": "0.1", **values})


def states(spec: ThresholdSpec | None, *values: str, sample: int = 100) -> list[str]:
    """Return the states that a series of values goes through."""
    standing, found = Standing(), []
    for value in values:
        standing = judge(spec, standing, Fraction(value), sample)
        found.append(standing.state)
    return found


@pytest.mark.parametrize(
    ("spec", "values", "expected"),
    [
        ({}, ("0.02", "0.0200001", "0.2"), ("ok", "warning", "critical")),
        ({}, ("0.2", "0.05", "0.05"), ("critical", "critical", "warning")),
        ({}, ("0.2", "0", "0.2", "0", "0"), ("critical", "critical", "critical", "critical", "ok")),
        ({"recover_after": 1}, ("0.03", "0.01", "0.03"), ("warning", "ok", "warning")),
        ({"recover_after": 1, "margin": "0.01"}, ("0.03", "0.015", "0.01"), ("warning", "warning", "ok")),
        ({"critical": None}, ("0.5", "0.01", "0.01"), ("warning", "warning", "ok")),
        ({"warning": "0", "critical": None}, ("0", "0.000001"), ("ok", "warning")),
        (
            {"metric": "field_completeness", "direction": "below", "warning": "0.99", "critical": "0.9"},
            ("0.99", "0.98", "0.5", "1", "1"),
            ("ok", "warning", "critical", "critical", "ok"),
        ),
    ],
)
def test_states_follow_the_values(spec: dict[str, Any], values: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """Worse at once and strictly past the level; better only after enough runs in a row, past the margin."""
    assert tuple(states(threshold(**spec), *values)) == expected


def test_a_value_around_the_level_alerts_once() -> None:
    """A series that crosses its level at every run changes its state once, not at every run."""
    found = states(threshold(), *("0.021", "0.019") * 10)
    assert found == ["warning"] * 20


def test_small_samples_and_no_threshold_change_nothing() -> None:
    """One bad record of three is no alarm where a hundred are wanted; what nobody watches is ok."""
    assert states(threshold(minimum_sample=100), "0.3", sample=3) == ["ok"]
    assert judge(threshold(minimum_sample=100), Standing("warning", 1), Fraction(0), 3) == Standing("warning", 1)
    assert judge(None, Standing("critical"), Fraction(1), 100) == Standing()


def test_the_most_specific_threshold_counts() -> None:
    """Subject and report before subject before report before tenant; other metrics, reports and subjects never."""
    report, rule = uuid4(), str(uuid4())
    scopes: list[dict[str, Any]] = [
        {},
        {"report_id": report},
        {"subject": rule},
        {"subject": rule, "report_id": report},
    ]
    made = [Threshold(uuid4(), threshold(metric="rule_failure_rate", **scope)) for scope in scopes]
    strangers = [
        Threshold(uuid4(), threshold(metric="rule_failure_rate", report_id=uuid4())),
        Threshold(uuid4(), threshold(metric="rule_failure_rate", subject=str(uuid4()))),
        Threshold(uuid4(), threshold()),
    ]
    for count in range(5):
        chosen = choose([*strangers, *made[:count]], "rule_failure_rate", report, rule)
        assert chosen == (made[count - 1] if count else None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"warning": None, "critical": None}, "warning, critical or both"),
        ({"warning": "0.2"}, "before warning"),
        ({"direction": "below"}, "before warning"),
        ({"critical": "1.5"}, "at most 1"),
        ({"warning": "0.0000001"}, "decimal places"),
        ({"warning": "NaN"}, "finite"),
        ({"subject": "amount"}, "no subject"),
        ({"metric": "rule_failure_rate", "subject": "amount"}, "id of a rule"),
        ({"metric": "lateness", "minimum_sample": 2}, "whole run"),
    ],
)
def test_a_threshold_that_cannot_be_meant_is_refused(change: dict[str, Any], told: str) -> None:
    """Levels in the wrong order, rates above one and subjects that the metric has not."""
    with pytest.raises(ValidationError, match=told):
        threshold(**change)


def test_a_trend_is_the_least_squares_line_and_the_mean() -> None:
    """Slope and average agree with the standard library's regression, over the last twenty values only."""
    dice = random.Random(4)  # noqa: S311 - for variety, not for secrets
    for length in range(2, 40):
        values = [dice.randrange(1_000_000) for _ in range(length)]
        recent, going = values[-RUNS:], trend(values)
        line = linear_regression(range(len(recent)), recent)
        assert going.runs == len(recent)
        assert going.previous == values[-2]
        assert going.slope == pytest.approx(line.slope, abs=0.51)
        assert going.average == round(Fraction(sum(recent), len(recent)))
    assert (trend([5]).previous, trend([5]).slope, trend([5]).average) == (None, None, 5)
    assert trend([0, 1, 2, 3]).slope == 1


def ending(**changes: Any) -> Ending:
    due = datetime(2026, 3, 9, 8, tzinfo=UTC)
    values = {"run_id": uuid4(), "report_id": uuid4(), "business_date": date(2026, 3, 6), "records_in": 20,
              "records_held": 3, "ended_at": END, "due_at": due, "out": True}  # fmt: skip
    return Ending(**{**values, **changes})


def test_a_run_is_measured_by_its_counts() -> None:
    """Each metric is a count over a count; rates over no records and lateness of what never went out are none."""
    rule = str(UUID(int=7))
    counts = PhaseCounts(
        rows=20,
        warned=2,
        corrected=1,
        rules=(RuleFailures(id=rule, name="positive", failed=3),),
        fields=(FieldCounts(name="amount", given=19, failed=4),),
    )
    found = measurements(ending(), {"input": counts, "output": PhaseCounts(rows=0, warned=0, corrected=0)})
    assert {(one.metric, one.phase, one.subject): (one.numerator, one.denominator) for one in found} == {
        ("error_rate", "", ""): (3, 20),
        ("lateness", "", ""): (1800, 1),
        ("warning_rate", "input", ""): (2, 20),
        ("correction_rate", "input", ""): (1, 20),
        ("rule_failure_rate", "input", rule): (3, 20),
        ("field_completeness", "input", "amount"): (19, 20),
        ("field_failure_rate", "input", "amount"): (4, 20),
    }
    assert measurements(ending(records_in=0, records_held=0, due_at=None), {}) == []
    assert measurements(ending(records_in=None, out=False), {}) == []
    early = measurements(ending(ended_at=END - timedelta(hours=1)), {})
    assert [one.numerator for one in early if one.metric == "lateness"] == [0]
