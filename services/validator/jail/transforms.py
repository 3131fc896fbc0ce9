"""The broker's side of a transform: descriptors in, a tenant's code, the gate, checked files out."""

import asyncio
import fcntl
import os
import struct
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import ValidationError

from libs.common.jail import MIB, JobCrashed, JobFailed, JobServer, JobTimedOut, Limits, Report, WarmParent, fault_of
from libs.common.vocabulary.schemas import SchemaSpec
from libs.common.vocabulary.transforms import PythonTransform, SqlTransform
from services.validator.jail.answers import Counted, Shown, TransformStoppedError, refuse_fault
from services.validator.jail.broker import in_memory
from services.validator.jail.limits import MOST_NOTES, NUMBERS, Budget, Scene, require_done, stopped
from services.validator.jail.warmth import PRELOAD

TRANSFORMS = "transforms"
"""The warm parent that transforms, by name."""
ENTRY = "services.validator.jail.transforming:run"
WARM, REHEARSAL = "services.validator.jail.warmth:warm", "services.validator.jail.warmth:rehearse"

_LOOK_SECONDS = 0.5
_SPILL_MOST = 4
_ANSWER_BYTES = 256 * 1024  # a count, or an error's words: to read megabytes of numbers would keep everybody waiting
_LOG, _LAST_WORDS = "log.txt", 4096

Answer = TypeVar("Answer", Counted, Shown)

Heard = Callable[[int, int], Awaitable[None]]
"""Is told how many records were taken and how many rows given so far."""


@dataclass(frozen=True, slots=True)
class Work:
    """One transform: the declaration, the text to run in its place (guarded SQL), records, mappings, where files go.

    `scratch` is a directory of its own: `rows.parquet`, `trace.parquet`, `drops.parquet` and `log.txt` are written there.
    `owner` is the tenant whose share it takes, `kind` what it is called in figures.
    """

    transform: PythonTransform | SqlTransform
    query: str
    target: SchemaSpec
    records: Path
    scratch: Path
    mappings: Mapping[str, pa.Table] = field(default_factory=dict)
    owner: str | None = None
    kind: str = "transform"


@dataclass(frozen=True, slots=True)
class Done:
    """A transform's counts and what it took: seconds of each part, and what the code's process used."""

    counted: Counted
    code_seconds: float
    gate_seconds: float
    took: Report | None = None


def parent() -> WarmParent:
    """Return the warm parent of transforms."""
    return WarmParent(ENTRY, PRELOAD, WARM, rehearsal=REHEARSAL, spares=1)


def transform_server(slots: int = 2) -> JobServer:
    """Return a server for transforms with a warm parent of its own; enter it before use."""
    return JobServer(ENTRY, preload=PRELOAD, warm=WARM, rehearsal=REHEARSAL, spares=1, slots=slots)


async def make_ready(
    server: JobServer, given: Path, ready: Path, schema: SchemaSpec, key: Sequence[str], owner: str | None = None
) -> None:
    """Type records that a tenant gives to try its code on as an extract's are.

    Raises:
        JobError, ConfinementError: see `JobServer.run`.
    """
    job = {"work": "ready", "schema": schema.model_dump(mode="json"), "business_key": list(key)}
    with _opened([given], [ready]) as (readable, writable):
        limits = Limits(wall_seconds=10, cpu_seconds=10)
        await server.run(job, readable, writable=writable, limits=limits, owner=owner, kind="try")


async def transform(server: JobServer, work: Work, budget: Budget, heard: Heard | None = None) -> Done:
    """Run a transform and take its rows through the gate.

    Raises:
        TransformStoppedError: the code failed or was stopped, or its rows may not be used.
        ConfinementError, JobServerLost: the jail is not there; nothing can be said of the code.
    """
    began = time.perf_counter()
    reports: list[Report] = []
    try:
        answer = await _watched(server, work, budget, heard, reports)
        require_done(answer, budget, reports[-1] if reports else None)
        ran = time.perf_counter()
        counted = await _gate(server, work, budget)
    except TransformStoppedError as error:
        error.took = reports[-1] if reports else None
        raise
    took = reports[-1] if reports else None
    return Done(counted, round(ran - began, 4), round(time.perf_counter() - ran, 4), took)


async def _watched(server: JobServer, work: Work, budget: Budget, heard: Heard | None, reports: list[Report]) -> Any:
    with _code_files(work) as (readable, writable, notes):
        watching = asyncio.create_task(_watch(notes, heard)) if heard else None
        try:
            return await server.run(
                _code_job(work, budget),
                readable,
                writable=writable,
                limits=_limits(work, budget),
                witness=reports.append,
                owner=work.owner,
                kind=work.kind,
            )
        except (JobTimedOut, JobCrashed, JobFailed) as error:
            raise stopped(error, _scene(work, budget, notes, reports[-1] if reports else None)) from error
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)  # progress that cannot be told stops nothing


async def _watch(notes: int, heard: Heard) -> None:
    """Look at the progress at growing intervals: a long job says as little as a short one."""
    pause, before = _LOOK_SECONDS, bytes(NUMBERS)
    while True:
        await asyncio.sleep(pause)
        pause *= 2
        now = os.pread(notes, NUMBERS, 0)
        if now != before:
            before = now
            taken, given = struct.unpack("<QQ", now)
            await heard(min(taken, 2**53), min(given, 2**53))


@contextmanager
def _code_files(work: Work) -> Iterator[tuple[list[int], list[int], int]]:
    places = [work.scratch / name for name in ("result.arrow", _LOG)]
    with _opened([work.records], places) as (readable, writable), ExitStack() as stack:

        def closed(descriptor: int) -> int:
            stack.callback(os.close, descriptor)
            return descriptor

        notes = closed(_blank_notes())
        writable.append(notes)
        readable += [closed(in_memory(table)) for table in work.mappings.values()]
        if isinstance(work.transform, SqlTransform):
            spill = work.scratch / "spill"
            spill.mkdir(exist_ok=True)
            writable.append(closed(os.open(spill, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)))
        yield readable, writable, notes


def _code_job(work: Work, budget: Budget) -> dict[str, Any]:
    named = {"mappings": list(work.mappings)}
    if isinstance(work.transform, SqlTransform):
        spill = budget.result_bytes * _SPILL_MOST
        return {"work": "sql", "query": work.query, "memory": budget.memory // 4, "spill": spill, **named}
    params = work.transform.model_dump(mode="json")["params"]
    wall = {"wall_seconds": budget.wall_seconds}
    return {"work": "python", "code": work.transform.code, "params": params, **wall, **named}


def _limits(work: Work, budget: Budget) -> Limits:
    limits = Limits(
        address_space=budget.memory,
        cpu_seconds=budget.cpu_seconds,
        wall_seconds=budget.wall_seconds,
        file_size=budget.result_bytes,
        open_files=128,
        result_bytes=_ANSWER_BYTES,
    )
    if isinstance(work.transform, SqlTransform):  # it may make files: each could be the largest
        spilled = budget.result_bytes * _SPILL_MOST
        return replace(limits, file_size=spilled, total_size=spilled + 2 * budget.result_bytes)
    return limits


def _scene(work: Work, budget: Budget, notes: int, report: Report | None) -> Scene:
    code = work.transform.code if isinstance(work.transform, PythonTransform) else ""
    with (work.scratch / _LOG).open("rb") as said:
        said.seek(-min(_LAST_WORDS, os.fstat(said.fileno()).st_size), os.SEEK_END)
        return Scene(budget, code, os.pread(notes, MOST_NOTES, 0), said.read(_LAST_WORDS), report)


async def _gate(server: JobServer, work: Work, budget: Budget) -> Counted:
    job = {
        "work": "gate",
        "target": work.target.model_dump(mode="json"),
        "yields": work.transform.yields,
        "unused": work.transform.unused,
    }
    limits = Limits(
        address_space=2048 * MIB,
        cpu_seconds=int(budget.gate_seconds) + 1,
        wall_seconds=budget.gate_seconds,
        file_size=2 * budget.result_bytes,
        open_files=128,
    )
    result = work.scratch / "result.arrow"
    if result.stat().st_size > budget.result_bytes:
        most = f"{budget.result_bytes // MIB:,} MiB"
        raise TransformStoppedError("result-too-large", f"The rows take more room than a transform may fill, {most}.")
    files = [work.scratch / f"{name}.parquet" for name in ("rows", "trace", "drops")]
    with _opened([work.records, result], files) as (readable, writable):
        try:
            answer = await server.run(job, readable, writable=writable, limits=limits, owner=work.owner, kind="gate")
        except (JobTimedOut, JobCrashed, JobFailed) as error:
            fault = fault_of(error, "gate")
            code = "internal-error" if fault else "bad-rows"
            raise TransformStoppedError(code, fault or f"The transform's rows could not be read: {error}") from error
    refuse_fault(answer, "bad-rows")
    return _read(Counted, answer)


async def show(server: JobServer, work: Work, budget: Budget, counted: Counted, most: int) -> Shown:
    """Return the first rows and dropped records that a transform left behind, read in a child: not even the gate is believed.

    Raises:
        TransformStoppedError: they are not what was counted. ConfinementError, JobServerLost: the jail is not there.
    """
    limits = Limits(
        cpu_seconds=int(budget.gate_seconds) + 1,
        wall_seconds=budget.gate_seconds,
        result_bytes=8 * budget.result_bytes,  # a character takes six at most
        open_files=128,
    )
    files = [work.scratch / f"{name}.parquet" for name in ("rows", "trace", "drops")]
    with _opened(files, []) as (readable, _):
        try:
            job = {"work": "show", "most": most}
            answer = await server.run(job, readable, limits=limits, owner=work.owner, kind="gate")
        except (JobTimedOut, JobCrashed, JobFailed) as error:
            raise TransformStoppedError("bad-rows", f"The transform's rows could not be read: {error}") from error
    shown = _read(Shown, answer)
    fields = {field.name for field in work.target.fields}
    sizes = (shown.rows, shown.dropped, len(shown.shown), len(shown.drops))
    counts = (counted.rows, counted.dropped, min(counted.rows, most), min(counted.dropped, most))
    if sizes != counts or any(row.values.keys() != fields for row in shown.shown):
        raise TransformStoppedError("bad-rows", "The transform's rows are not those that were counted.")
    return shown


def _read(kind: type[Answer], answer: Any) -> Answer:
    try:
        return kind.model_validate(answer)
    except ValidationError:
        raise TransformStoppedError("bad-rows", "The transform's rows give no account of themselves.") from None


@contextmanager
def _opened(reads: Sequence[Path], writes: Sequence[Path]) -> Iterator[tuple[list[int], list[int]]]:
    with ExitStack() as stack:

        def opened(path: Path, flags: int) -> int:
            descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, descriptor)
            return descriptor

        readable = [opened(path, os.O_RDONLY) for path in reads]
        new = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        yield readable, [opened(path, new | (os.O_APPEND if path.suffix == ".txt" else 0)) for path in writes]


def _blank_notes() -> int:
    """Return memory for a transform's notes that nobody can make larger."""
    descriptor = os.memfd_create("progress", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, MOST_NOTES)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return descriptor
