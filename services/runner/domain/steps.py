"""The steps of a run, in order."""

from collections.abc import Iterable

STEPS = ("extract", "validate", "transform", "validate_output", "render", "deliver")
PHASES = {"validate": "input", "validate_output": "output"}
STEP_OF_PHASE = {phase: step for step, phase in PHASES.items()}


def next_step(done: Iterable[str]) -> str | None:
    """Return the first step that is neither sealed nor skipped, or None when all are."""
    ended = set(done)
    return next((step for step in STEPS if step not in ended), None)


def before(step: str) -> tuple[str, ...]:
    """Return the steps that come before one."""
    return STEPS[: STEPS.index(step)]
