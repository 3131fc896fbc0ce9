"""What a backtest found, over all its runs."""

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

COMPARED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "input": ("validate", "failures"),
        "records": ("transform", "records"),
        "origins": ("transform", "origins"),
        "faults": ("transform", "faults"),
        "output": ("validate_output", "failures"),
    }
)
"""What is compared of two runs → the step and the name of its sealed output."""

Difference = Literal["newly_failing", "newly_passing", "changed", "no_longer_out", "newly_out"]
DIFFERENCES: tuple[Difference, ...] = get_args(Difference)
"""A record fails a rule that it passed, passes one that it failed, has another value in a field, or comes out no more, or now."""


def total(facts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sum of what comparisons counted: records, differences, and these by rule and by field."""
    records, counts, by_rule, by_field = 0, Counter[str](), dict[str, Counter[str]](), Counter[str]()
    for fact in facts:
        records += fact["records"]
        counts.update(fact["counts"])
        by_field.update(fact["by_field"])
        for rule, found in fact["by_rule"].items():
            by_rule.setdefault(rule, Counter()).update(found)
    return {
        "records": records,
        **{name: counts[name] for name in DIFFERENCES},
        "by_rule": {rule: dict(found) for rule, found in sorted(by_rule.items())},
        "by_field": dict(sorted(by_field.items())),
    }
