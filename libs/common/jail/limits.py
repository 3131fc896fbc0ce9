import resource
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one confined process may use. Sizes are bytes, times seconds.

    `file_size` bounds each file that is written, `total_size` what is written in all, where a job may make
    files: it may then map none. `processes` counts all processes *and threads* of the user, not of the
    job, and does not bind root: leave it None where the user runs anything else.
    """

    address_space: int = 2048 * MIB
    cpu_seconds: int = 60
    wall_seconds: float = 60.0
    file_size: int = 1024 * MIB
    total_size: int | None = None
    open_files: int = 64
    processes: int | None = None
    result_bytes: int = 4 * MIB

    def to_dict(self) -> dict[str, Any]:
        """Return the limits as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(**values)


def apply_rlimits(limits: Limits) -> None:
    """Set soft and hard resource limits of this process; one that is already lower stays.

    Raises:
        OSError, ValueError: when the kernel refuses a limit.
    """
    values = {
        resource.RLIMIT_AS: limits.address_space,
        resource.RLIMIT_CPU: limits.cpu_seconds,
        resource.RLIMIT_FSIZE: min(limits.file_size, limits.total_size or limits.file_size),
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if limits.processes is not None:
        values[resource.RLIMIT_NPROC] = limits.processes
    for kind, value in values.items():
        _lower(kind, value, grace=1 if kind == resource.RLIMIT_CPU else 0)


def _lower(kind: int, value: int, grace: int) -> None:
    # soft below hard on CPU: SIGXCPU comes first, so that the cause of death can be told from a kill
    _, hard = resource.getrlimit(kind)
    wanted = value + grace
    top = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(kind, (min(value, top), top))
