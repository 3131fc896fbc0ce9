"""The declared life of a run, the order of its steps, the sentence at its end."""

import pytest

from libs.common.events.runner import EVENTS
from services.runner.domain.endings import conclude
from services.runner.domain.states import (
    ENDED,
    EVENT_NAMES,
    STATUSES,
    TRANSITIONS,
    IllegalTransitionError,
    require_transition,
)
from services.runner.domain.steps import STEPS, next_step

EXPECTED = {
    ("", "waiting"), ("", "queued"),
    ("waiting", "queued"), ("waiting", "failed"), ("waiting", "cancelled"),
    ("queued", "running"), ("queued", "failed"), ("queued", "cancelled"),
    ("running", "queued"), ("running", "validating"), ("running", "transforming"), ("running", "succeeded"), ("running", "partial"),
    ("running", "failed"), ("running", "cancelled"),
    ("validating", "queued"), ("validating", "failed"), ("validating", "cancelled"),
    ("transforming", "queued"), ("transforming", "failed"), ("transforming", "cancelled"),
}  # fmt: skip


@pytest.mark.parametrize("before", TRANSITIONS)
@pytest.mark.parametrize("after", STATUSES)
def test_only_declared_transitions_are_taken(before: str, after: str) -> None:
    """Every pair of statuses is either in the table or refused (S20)."""
    if (before, after) in EXPECTED:
        require_transition(before, after)
    else:
        with pytest.raises(IllegalTransitionError):
            require_transition(before, after)


def test_every_status_can_end_and_ended_ones_stay() -> None:
    """From each status an end can be reached; from an end nothing."""
    reaches = set(ENDED)
    for _ in STATUSES:
        reaches |= {before for before, after in TRANSITIONS.items() if after & reaches}
    assert reaches == set(TRANSITIONS)
    assert all(not TRANSITIONS[status] for status in ENDED)


def test_every_status_is_announced_by_a_declared_event() -> None:
    """No transition happens without its event in the contract."""
    assert {EVENT_NAMES[status] for status in STATUSES} <= EVENTS.keys()


def test_steps_follow_each_other() -> None:
    """The next step is the first that has not ended."""
    assert [next_step(STEPS[:done]) for done in range(len(STEPS) + 1)] == [*STEPS, None]


@pytest.mark.parametrize(
    ("held", "deliveries", "undelivered", "status", "reason"),
    [
        (0, 0, 0, "succeeded", ""),
        (0, 2, 0, "succeeded", ""),
        (1, 2, 0, "partial", "1 record is held by blocking rules"),
        (3, 2, 0, "partial", "3 records are held by blocking rules"),
        (0, 2, 1, "partial", "1 of 2 deliveries failed"),
        (2, 2, 2, "partial", "2 records are held by blocking rules; 2 of 2 deliveries failed"),
    ],
)
def test_partial_says_what_is_missing(held: int, deliveries: int, undelivered: int, status: str, reason: str) -> None:
    """Partial means held records or failed deliveries, and names which (S20)."""
    ending = conclude(held, deliveries, undelivered)
    assert (ending.status, ending.reason) == (status, reason)
