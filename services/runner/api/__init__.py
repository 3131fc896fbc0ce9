"""The HTTP door."""

from services.runner.api.artifacts import artifacts
from services.runner.api.backtests import asking, backtests
from services.runner.api.creation import creation
from services.runner.api.progress import progress
from services.runner.api.records import records
from services.runner.api.runs import runs

ROUTERS = (creation, runs, progress, artifacts, records, asking, backtests)
