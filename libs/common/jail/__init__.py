"""A jail for one process: what runs in it has nothing worth stealing and cannot reach anything."""

from libs.common.jail.confinement import Confinement, confine, engine_paths, interpreter_paths
from libs.common.jail.errors import (
    ConfinementError,
    JailError,
    JobCrashed,
    JobError,
    JobFailed,
    JobServerLost,
    JobTimedOut,
)
from libs.common.jail.limits import MIB, Limits
from libs.common.jail.server import JobServer

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
    "confine",
    "engine_paths",
    "interpreter_paths",
]
