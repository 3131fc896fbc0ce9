"""What became of each job, in figures: for metrics and events, without a word of a tenant's."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

from libs.common.jail.errors import (
    ConfinementError,
    JailError,
    JobCrashed,
    JobFailed,
    JobServerLost,
    JobTimedOut,
)
from libs.common.jail.exchange import Exchange
from libs.common.jail.report import Report

Outcome = Literal["done", "failed", "killed", "limit", "refused", "lost"]
"""`killed`: by a signal. `limit`: out of time, memory or room. `refused`: unconfined, or the answer is none."""

_LIMIT_SIGNALS = frozenset({9, 24, 25})  # SIGKILL, SIGXCPU, SIGXFSZ


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one job. `code` is short and ours: a signal's number, a kind of failure; times in seconds, sizes in bytes."""

    kind: str
    owner: str | None
    outcome: Outcome
    code: str
    wall_seconds: float
    cpu_seconds: float
    peak_rss: int
    answer_bytes: int
    layers: frozenset[str]


Observer = Callable[[Ending], None]


class Watch:
    """A job under way: its clock, and what is learned of its end."""

    def __init__(self, kind: str, owner: str | None) -> None:
        self._kind = kind
        self._owner = owner
        self._began = time.monotonic()
        self.report: Report | None = None
        self.error: JailError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def ending(self, exchange: Exchange) -> Ending:
        """Return what is known now that it is over."""
        outcome, code = _told(self.error)
        report = self.report or Report(0, timed_out=False, cpu_seconds=0.0, peak_rss=0)
        wall = time.monotonic() - self._began
        return Ending(
            self._kind, self._owner, outcome, code, wall, report.cpu_seconds, report.peak_rss, exchange.size,
            exchange.layers,
        )  # fmt: skip


def _told(error: JailError | None) -> tuple[Outcome, str]:
    if error is None:
        return "done", ""
    if isinstance(error, JobTimedOut):
        return "limit", "wall"
    if isinstance(error, JobCrashed):
        return _crash(error)
    if isinstance(error, JobFailed):
        return ("limit", error.kind) if error.is_limit else ("failed", "")
    if isinstance(error, ConfinementError):
        return "refused", "unconfined"
    return ("lost", "") if isinstance(error, JobServerLost) else ("failed", "")


def _crash(error: JobCrashed) -> tuple[Outcome, str]:
    if not error.signal:
        return "refused", "no-answer"
    return ("limit" if error.signal in _LIMIT_SIGNALS else "killed"), f"signal-{error.signal}"
