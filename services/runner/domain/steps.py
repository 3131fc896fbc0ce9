"""The steps of a run, in order; each kind of run has its own."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, get_args

Step = Literal["extract", "validate", "transform", "validate_output", "render", "deliver", "compare"]
STEPS = ("extract", "validate", "transform", "validate_output", "render", "deliver")
STEPS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "report": STEPS,
        "correction": STEPS,  # its extract takes some of its parent's sealed records
        "sample": ("extract",),
        "backtest": ("extract", "validate", "transform", "validate_output", "compare"),
    }
)
"""Kind of run → its steps. A backtest takes a past run's sealed extract, and compares what it makes of it."""

EVERY_STEP: tuple[Step, ...] = get_args(Step)
TRIALS = ("sample", "backtest")
"""Kinds of run that report nothing to anybody."""

PHASES = {"validate": "input", "validate_output": "output"}
STEP_OF_PHASE = {phase: step for step, phase in PHASES.items()}


def next_step(done: Iterable[str], kind: str = "report") -> str | None:
    """Return the first step of a kind of run that is neither sealed nor skipped, or None when all are."""
    ended = set(done)
    return next((step for step in STEPS_OF[kind] if step not in ended), None)


def following(step: str, kind: str = "report") -> str:
    """Return the step after one, or nothing after the last."""
    steps = STEPS_OF[kind]
    place = steps.index(step) + 1
    return steps[place] if place < len(steps) else ""


def last_step(kind: str = "report") -> str:
    """Return the step that ends a run of a kind."""
    return STEPS_OF[kind][-1]
