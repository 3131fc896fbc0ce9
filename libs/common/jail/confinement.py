"""Putting the layers on, in the order in which they have to come."""

import os
import sys
import sysconfig
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from libs.common.jail import landlock, privileges, seccomp
from libs.common.jail.errors import ConfinementError
from libs.common.jail.landlock import Reach, Reachable
from libs.common.jail.limits import Limits, apply_rlimits


@dataclass(frozen=True, slots=True)
class Confinement:
    """What holds now: the names of the layers, innermost last."""

    layers: tuple[str, ...]


def confine(
    limits: Limits,
    readable: Sequence[Reachable] = (),
    writable: Sequence[Reachable] = (),
    *,
    keep: Collection[int] = (),
    connect_ports: Sequence[int] = (),
    house: Collection[str] = (),
    rules: int | None = None,
) -> Confinement:
    """Confine this process for good: no privileges, little memory and time, these paths, no other descriptors.

    Paths may be open descriptors. Every descriptor outside `keep` is closed; 0, 1 and 2 then lead to /dev/null. TCP
    is refused but for connections to `connect_ports`. The environment is emptied. Wall time is the parent's to watch.
    `house` names the layers that hold the parent already; in gVisor's, which has no Landlock, that one is left out.
    `rules` are Landlock's, begun before, of paths that may be read as well.

    Raises:
        ConfinementError: when a layer is missing or this process has more than one thread; then run nothing.
    """
    _require_single_thread()
    os.environ.clear()
    close_all_but({*keep, *(() if rules is None else (rules,))})
    privileges.forbid_new_privileges()
    try:
        apply_rlimits(limits)
    except (OSError, ValueError) as error:
        raise ConfinementError(f"resource limits: {error}") from error
    reach = Reach(readable=readable, writable=writable, connect_ports=connect_ports)
    gained = () if "gvisor" in house else landlock.restrict(reach, rules)
    privileges.drop_capabilities()
    seccomp.restrict(maps=limits.total_size is None)  # last: the other layers need calls that it refuses
    own = ("environment", "descriptors", "no_new_privs", "rlimits", *gained, "capabilities", "calls")
    return Confinement((*house, *own))


def interpreter_paths() -> list[str]:
    """Return what Python itself reads: its library, installed packages, shared objects. No secrets live there."""
    paths = sysconfig.get_paths()
    wanted = {paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"]}
    wanted |= {os.path.join(sys.base_prefix, "lib"), "/lib", "/usr/lib", "/lib64", "/usr/share/zoneinfo"}  # noqa: PTH118
    return landlock.existing(sorted(wanted))


def engine_paths() -> list[str]:
    """Return what DuckDB reads of the system: it aborts when its own cgroup file exists but cannot be opened.

    Call it in the process that is to be confined: the paths are about itself.
    """
    return landlock.existing(["/proc/self/cgroup", "/proc/self/mountinfo", "/proc/meminfo", "/sys/fs/cgroup"])


def _require_single_thread() -> None:
    # Landlock binds the calling thread and those that it starts, not its siblings
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    if threads != 1:
        raise ConfinementError(f"the process has {threads} threads: confine it before it starts any")


def close_all_but(keep: Collection[int]) -> None:
    """Close every descriptor outside `keep`; 0, 1 and 2 then lead to /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        if standard not in keep:
            os.dup2(null, standard)
    last = 2
    for kept in sorted({descriptor for descriptor in keep if descriptor > 2}):  # noqa: PLR2004 - after stderr
        os.closerange(last + 1, kept)
        last = kept
    os.closerange(last + 1, _highest_descriptor() + 1)


def _highest_descriptor() -> int:
    return max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
