"""What can go wrong between asking for a confined job and having its result."""

from collections.abc import Sequence

_LIMITS = frozenset(
    {"MemoryError", "ArrowMemoryError", "OutOfMemoryException", "ResultTooLarge", "SpillTooLarge", "TooManyFiles"}
)
_DISKS = frozenset({"OSError", "IOException"})


class JailError(Exception):
    """The base of everything that the jail raises."""


class ConfinementError(JailError):
    """A required layer of the jail is missing or could not be put on; nothing was run."""


class JobError(JailError):
    """A job gave no result."""


class JobFailed(JobError):  # noqa: N818 - says what happened
    """The job function raised; `kind` is the exception's class name, `trace` the lines that led to it."""

    def __init__(self, kind: str, message: str, trace: Sequence[str] = ()) -> None:
        super().__init__(f"{kind}: {message}" if message else kind)
        self.kind = kind
        self.message = message
        self.trace = tuple(trace)

    @property
    def is_limit(self) -> bool:
        """Whether it was too much of something."""
        return self.kind in _LIMITS

    @property
    def is_circumstance(self) -> bool:
        """Whether it was too much of something, or a disk that is full or broken: not the code, and perhaps not for long."""
        return self.is_limit or self.kind in _DISKS


class JobCrashed(JobError):  # noqa: N818
    """The job's process died without an answer; `signal` is 0 when it exited by itself."""

    def __init__(self, signal: int, code: int = 0) -> None:
        super().__init__(f"job was killed by signal {signal}" if signal else f"job exited with {code} and no result")
        self.signal = signal
        self.code = code


class JobTimedOut(JobError):  # noqa: N818
    """The job ran longer than its wall clock allows and was killed."""


class JobServerLost(JobError):  # noqa: N818
    """The forkserver died or did not start; jobs in flight are lost, the next one starts a new forkserver."""


class OverBudget(JobError):  # noqa: N818
    """Whoever asks has used up its processor time; it has some again after `seconds`. Nothing was run."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no processor time is left for {seconds:.0f} s")
        self.seconds = seconds
