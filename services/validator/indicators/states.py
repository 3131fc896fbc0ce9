"""When an indicator changes its state: thresholds with hysteresis. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import get_args
from uuid import UUID

from libs.common.vocabulary.indicators import State, ThresholdSpec

STATES: tuple[State, ...] = get_args(State)
"""From good to bad."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An indicator's state, and for how many runs in a row it has been better than that."""

    state: State = "ok"
    better: int = 0


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold by its id."""

    id: UUID
    spec: ThresholdSpec


def choose(thresholds: Iterable[Threshold], metric: str, report_id: UUID, subject: str) -> Threshold | None:
    """Return the most specific threshold: of subject and report, of the subject, of the report, of the tenant."""
    fitting = [
        one
        for one in thresholds
        if one.spec.metric == metric and one.spec.report_id in (None, report_id) and one.spec.subject in ("", subject)
    ]
    return max(fitting, key=lambda one: (one.spec.subject != "", one.spec.report_id is not None), default=None)


def judge(spec: ThresholdSpec | None, standing: Standing, value: Fraction, sample: int) -> Standing:
    """Return the standing after one more value.

    It gets worse at once. It gets better only after `recover_after` values in a row that are past the level by the
    margin. Too small a sample changes nothing; what no threshold watches is ok.
    """
    if spec is None:
        return Standing()
    if sample < spec.minimum_sample:
        return standing
    reached = _state(spec, value, Fraction(0))
    if _worse(reached, standing.state):
        return Standing(reached)
    held = _state(spec, value, Fraction(spec.margin))
    if not _worse(standing.state, held):
        return Standing(standing.state)
    better = standing.better + 1
    return Standing(held) if better >= spec.recover_after else Standing(standing.state, better)


def _worse(one: State, other: State) -> bool:
    return STATES.index(one) > STATES.index(other)


def _state(spec: ThresholdSpec, value: Fraction, margin: Fraction) -> State:
    if spec.critical is not None and _past(spec, value, Fraction(spec.critical), margin):
        return "critical"
    return "warning" if spec.warning is not None and _past(spec, value, Fraction(spec.warning), margin) else "ok"


def _past(spec: ThresholdSpec, value: Fraction, level: Fraction, margin: Fraction) -> bool:
    return value > level - margin if spec.direction == "above" else value < level + margin
