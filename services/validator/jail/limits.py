"""What a transform may use, and what is said where it was too little: which limit, what was used, how far it was, and where."""

import re
import signal
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from libs.common.jail import MIB, JobCrashed, JobFailed, JobTimedOut, Report
from services.validator.jail.answers import Place, TransformStoppedError, refuse_fault

NUMBERS = 16
"""So many bytes of a transform's notes are two numbers: records taken, rows given. Behind them stands where it was last."""
MOST_NOTES = 64 * 1024
_MOST_LINES, _MOST_TEXT = 20, 200
_WHERE = re.compile(rb'^  File "transform\.py", line ([0-9]{1,7}) in ([^\n]{1,200})$', re.MULTILINE)
_NO_MEMORY = b"memory allocation of"
"""What Polars says before it ends the process."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one transform may use: bytes of memory and of rows, seconds of processor and wall time; then of the gate's."""

    memory: int = 2048 * MIB
    result_bytes: int = 1024 * MIB
    cpu_seconds: int = 60
    wall_seconds: float = 120.0
    gate_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What is left where a transform was stopped: its code, its notes, the end of what it said, what it took."""

    budget: Budget
    code: str
    notes: bytes
    said: bytes
    took: Report | None

    def places(self) -> list[Place]:
        """Return the lines of the code that it was at, as its process noted them, the innermost last."""
        lines = self.code.splitlines()
        last = self.notes[NUMBERS:].rpartition(b"(most recent call first):")[2]
        found = [(int(number), name.decode("utf-8", "replace")) for number, name in _WHERE.findall(last)]
        return [
            Place(line=number, function=name, text=lines[number - 1].strip()[:_MOST_TEXT])
            for number, name in reversed(found[:_MOST_LINES])
            if 0 < number <= len(lines)
        ]

    def progress(self) -> str:
        """Say how far it was, and what it had used."""
        taken, given = struct.unpack("<QQ", self.notes[:NUMBERS])
        far = f"it had taken {min(taken, 2**53):,} records and given {min(given, 2**53):,} rows"
        if self.took is None:
            return far
        return (
            f"{far}, and used {self.took.cpu_seconds:.1f} s of processor time and {_size(self.took.peak_rss)} of memory"
        )


def stopped(error: JobTimedOut | JobCrashed | JobFailed, scene: Scene) -> TransformStoppedError:
    """Return what is said of a transform whose process gave no answer."""
    code, told = _told(error, scene)
    places = scene.places()
    where = f" at line {places[-1].line}" if places else ""
    return TransformStoppedError(code, f"The transform {told}{where}; {scene.progress()}.", places)


def require_done(answer: object, budget: Budget, took: Report | None) -> None:
    """Refuse what a transform's process says of its failure; where a limit was the reason, say which.

    Raises:
        TransformStoppedError: it failed.
    """
    try:
        refuse_fault(answer, "transform-failed")
    except TransformStoppedError as error:
        if error.code == "memory-limit":
            had = f", and had filled {_size(took.peak_rss)}" if took else ""
            error.message += f"; it may use {_memory(budget)}{had}"
        elif error.code == "result-too-large":
            error.message += f", {_size(budget.result_bytes)}"
        raise


def _told(error: JobTimedOut | JobCrashed | JobFailed, scene: Scene) -> tuple[str, str]:
    budget = scene.budget
    if isinstance(error, JobTimedOut):
        return "time-limit", f"ran longer than {budget.wall_seconds:g} s and was stopped"
    if isinstance(error, JobFailed):
        if error.kind == "SpillTooLarge":
            return "memory-limit", "wrote more to disk than it may"
        return "transform-crashed", "could not say what became of it"
    if error.signal == 0:
        return "transform-crashed", f"ended its process, with the exit code {error.code}, before it was done"
    return next(_of_signal(error.signal, scene))


def _of_signal(number: int, scene: Scene) -> Iterator[tuple[str, str]]:
    if number == signal.SIGXCPU:
        yield "time-limit", f"used more than {scene.budget.cpu_seconds} s of processor time and was stopped"
    if number == signal.SIGSYS:
        yield "forbidden", "asked the system for something that is forbidden"
    if number == signal.SIGABRT and _NO_MEMORY in scene.said:
        yield "memory-limit", f"needed more memory than the {_memory(scene.budget)} that it may use, and died"
    if number == signal.SIGKILL:
        yield "transform-crashed", "was killed by the system, which may have run out of memory,"
    yield "transform-crashed", f"died of {signal.Signals(number).name if number in _SIGNALS else f'signal {number}'}"


_SIGNALS = frozenset(signal.Signals)


def _memory(budget: Budget) -> str:
    return f"{_size(budget.memory)} of addresses"


def _size(number: int) -> str:
    return f"{number / MIB:,.0f} MiB"
