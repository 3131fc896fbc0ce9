"""What a warm parent is started with, and how its process is."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from libs.common.jail.isolation import Isolation

_ROOT = Path(__file__).parents[3]

ENVIRONMENT = {
    "PYTHONPATH": str(_ROOT),
    "PYTHONDONTWRITEBYTECODE": "1",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    # allocators and kernels that start threads at import would make forking unsafe
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "_RJEM_MALLOC_CONF": "background_thread:false",  # Polars'
    "MALLOC_CONF": "background_thread:false",
    "POLARS_MAX_THREADS": "1",  # counted when it is imported
}
"""The whole environment of a forkserver; its children have none."""


@dataclass(frozen=True, slots=True)
class WarmParent:
    """A parent of jobs: `entry` ("module:function") is what they run.

    `preload` names modules to import before any job, and functions to call in between, `warm` a function to call there once, `rehearsal` one that spares
    call while they wait for a job; none may leave a thread behind. `readable` are paths that jobs may read besides
    their files. While no job runs, `spares` children are forked ahead for jobs, where there is a rehearsal, and
    `plain_spares` for what every parent's children can do, which they rehearse. Without an `isolation` the parent puts on
    the portable layers alone, as for parsing; a jail says which.
    """

    entry: str
    preload: tuple[str, ...] = ()
    warm: str | None = None
    readable: tuple[str, ...] = ()
    rehearsal: str | None = None
    spares: int = 1
    plain_spares: int = 0
    isolation: Isolation | None = None

    def command(self, descriptor: int, *, listening: bool = False) -> tuple[str, ...]:
        """Return the command that starts its forkserver on a socket."""
        settings = json.dumps({**asdict(self), "listening": listening})
        return (sys.executable, "-m", "libs.common.jail.forkserver", str(descriptor), settings)
