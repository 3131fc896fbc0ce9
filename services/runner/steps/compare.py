from datetime import datetime
from pathlib import Path

from libs.common.objects import Sealed
from libs.common.vocabulary.transforms import Transform
from services.runner.commands.results import StepResult
from services.runner.domain.comparing import COMPARED
from services.runner.domain.ledger import Balance
from services.runner.engines.errors import TransformError
from services.runner.engines.requests import Compared, CompareRequest, Side
from services.runner.engines.steps import compare_runs
from services.runner.steps.job import Job


async def compare(job: Job) -> StepResult:
    """Seal what is different from the past run that this one replays.

    Raises:
        DataPathError: a sealed file is gone, or the engine ran out of memory.
    """
    started = job.tools.now()
    place = job.place("compare")
    settings = job.tools.settings
    request = CompareRequest(
        before=await _past(job),
        after=_side({part: await job.output(step, name) for part, (step, name) in COMPARED.items()}),
        target=place / "differences.parquet",
        by_key=_is_aggregate(job),
        memory=settings.engine_memory,
        threads=settings.engine_threads,
    )
    found = await job.patiently(
        lambda: compare_runs(job.tools.jobs, request, timeout_seconds=settings.step_timeout_seconds)
    )
    return await _result(job, found, Balance(records_in=_carried(job), records_out=_carried(job)), started)


async def _past(job: Job) -> Side:
    sealed = {part: Sealed(**given) for part, given in job.facts("extract")["baseline"].items()}
    return _side({part: await job.workspace.file(given) for part, given in sealed.items()})


def _side(files: dict[str, Path | None]) -> Side:
    records = files.get("records")
    if records is None:
        raise TransformError("records-missing", "The sealed records are gone.")
    return Side(records=records, **{part: files.get(part) for part in ("origins", "input", "faults", "output")})


def _is_aggregate(job: Job) -> bool:
    transform = job.plan.report.transform
    return not isinstance(transform, Transform) and transform.yields == "aggregate"


def _carried(job: Job) -> int:
    """Return how many records came out of the step before."""
    rows = int(job.facts("transform")["rows"])
    verdict = job.claim.verdicts.get("output")
    return rows - int(verdict["verdict"]["held"]) if verdict else rows


async def _result(job: Job, found: Compared, balance: Balance, started: datetime) -> StepResult:
    facts = found.model_dump(mode="json", exclude={"file"})
    outputs = {}
    if found.file.rows:
        outputs["differences"] = await job.workspace.keep(job.key("compare", found.file.path.name), found.file.path)
    return StepResult("compare", started, balance, outputs, {**facts, "rows": found.file.rows}, "differences")
