"""A jail: what runs in it has nothing worth stealing and cannot reach anything.

Three processes take part. The *broker*, a service, knows tenants and holds credentials; it asks with `JobServer.run`.
A *warm parent* (`forkserver`) has imported what jobs need and forks. A *child* confines itself, does one job, ends.
The job function gets what the broker said and open descriptors, and returns what JSON can say; bytes go into files
whose descriptors it was handed.

Where the parent lives is the broker's choice, and makes no other difference to it:

    JobServer("package.module:run", preload=(...), slots=2)     # a child of its own, for text that is only parsed
    JobServer.at(directory, "rules", slots=2)                   # in a jail: a process or container of its own

A jail is `host.run(directory, {"rules": WarmParent(...), "python": WarmParent(...)})`: no network, no credentials, no
environment. It starts each named parent with settings of its own, again when it died, and each listens as
`<name>.sock` in the directory. The validator's is `python -m services.validator.jail <directory>`; a parent is added in
`services/validator/jail/__main__.py`.

A child's native code may do whatever its layers do not forbid, lie about everything and never end: answers are bounded
and checked, and a caller checks them against what it expects. Jobs may be run again: on `JobServerLost`, do so.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from libs.common.jail.confinement import Confinement, confine, engine_paths, interpreter_paths
    from libs.common.jail.errors import (
        ConfinementError,
        JailError,
        JobCrashed,
        JobError,
        JobFailed,
        JobServerLost,
        JobTimedOut,
        OverBudget,
    )
    from libs.common.jail.faults import fault_of
    from libs.common.jail.limits import MIB, Limits
    from libs.common.jail.report import Report
    from libs.common.jail.server import JobServer
    from libs.common.jail.settings import WarmParent

_HOMES = {
    "confinement": ("Confinement", "confine", "engine_paths", "interpreter_paths"),
    "errors": (
        "ConfinementError",
        "JailError",
        "JobCrashed",
        "JobError",
        "JobFailed",
        "JobServerLost",
        "JobTimedOut",
        "OverBudget",
    ),
    "faults": ("fault_of",),
    "limits": ("MIB", "Limits"),
    "report": ("Report",),
    "server": ("JobServer",),
    "settings": ("WarmParent",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and no more: every fork of a warm parent copies the tables of all that it has loaded."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


__all__ = [
    "MIB",
    "Confinement",
    "ConfinementError",
    "JailError",
    "JobCrashed",
    "JobError",
    "JobFailed",
    "JobServer",
    "JobServerLost",
    "JobTimedOut",
    "Limits",
    "OverBudget",
    "Report",
    "WarmParent",
    "confine",
    "engine_paths",
    "fault_of",
    "interpreter_paths",
]
