"""How long runs and their steps take."""

from prometheus_client import Histogram

_SECONDS = (0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 300, 900, 3600)

RUN_SECONDS = Histogram("regent_run_seconds", "Time from a run's creation to its end", ["status"], buckets=_SECONDS)
STEP_SECONDS = Histogram("regent_run_step_seconds", "Time that a step of a run took", ["step"], buckets=_SECONDS)
