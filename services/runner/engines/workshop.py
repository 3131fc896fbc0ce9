"""Data work in confined children of a warm parent, awaited like any other call."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any, TypeVar

from libs.common.jail import MIB, JobCrashed, JobFailed, JobServer, JobTimedOut, Limits, fault_of
from libs.common.vocabulary.base import Strict
from services.runner.engines import errors
from services.runner.engines.errors import DataPathError, RecordFault
from services.runner.engines.places import SPILL

_SPARES = 3  # a small run: its extract, then its transform and its artifact at once

R = TypeVar("R", bound=Strict)

_KINDS: dict[str, type[DataPathError]] = {
    kind.__name__: kind for kind in (errors.SourceError, errors.TransformError, errors.RenderError)
}
_LIMITS = Limits(address_space=6144 * MIB, file_size=1024 * 1024 * MIB, open_files=256, cpu_seconds=8 * 3600)


def workshop(slots: int = 2) -> JobServer:
    """Return the job server for `run_in_child`; enter it to warm it up, at most `slots` children work at a time."""
    engine = "services.runner.engines.duck"
    return JobServer(
        "services.runner.engines.jobs:perform",
        preload=("libs.common.jail.lean:hide_pandas",),
        warm=f"{engine}:prewarm",
        rehearsal=f"{engine}:rehearse",
        spares=min(_SPARES, slots),
        slots=slots,
    )


async def run_in_child(
    jobs: JobServer,
    work: str,
    request: Strict,
    result: type[R],
    *,
    reads: Sequence[Path] = (),
    writes: Sequence[Path] = (),
    descriptors: Sequence[int] = (),
    timeout_seconds: float,
) -> R:
    """Run one piece of work in a child that can read `reads` and `descriptors` and write below `writes`, nothing else.

    Cancelling kills the child.

    Raises:
        DataPathError: what the work says went wrong; `timeout` or `crashed` (both retryable) when the child did not
            answer; `internal-error` when it is our own code that failed.
    """
    limits = replace(_LIMITS, wall_seconds=timeout_seconds)
    job = {"work": work, "request": request.model_dump(mode="json")}
    with _opened(reads) as readable, _opened(writes) as writable, _room_to_spill(writes):
        try:
            answer = await jobs.run(job, [*descriptors, *readable], writable=writable, limits=limits)
        except JobTimedOut as error:
            raise DataPathError(
                "timeout", f"The step took longer than {timeout_seconds:g} s.", retryable=True
            ) from error
        except JobCrashed as error:
            text = "The step's process died; it may have needed more memory than it may use."
            raise DataPathError("crashed", text, retryable=True) from error
        except JobFailed as error:
            fault = fault_of(error, work)
            if fault is None:
                raise DataPathError("crashed", f"The step could not be done: {error.kind}.", retryable=True) from error
            raise DataPathError("internal-error", fault) from error
    if "error" in answer:
        raise _known(answer["error"])
    return result.model_validate(answer["result"])


@contextmanager
def _room_to_spill(places: Sequence[Path]) -> Iterator[None]:
    """Make the directories that engines spill into: a child makes files alone. They are gone afterwards, however it ends."""
    rooms = [place / SPILL for place in dict.fromkeys(places) if place.is_dir()]
    for room in rooms:
        room.mkdir(exist_ok=True)
    try:
        yield
    finally:
        for room in rooms:
            rmtree(room, ignore_errors=True)


@contextmanager
def _opened(paths: Sequence[Path]) -> Iterator[list[int]]:
    """Open paths without reading them: such a descriptor lets a child in, and no further."""
    opened: list[int] = []
    try:
        opened.extend(os.open(path, os.O_PATH | os.O_CLOEXEC) for path in dict.fromkeys(paths))
        yield opened
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _known(error: dict[str, Any]) -> DataPathError:
    kind = _KINDS.get(error["kind"], DataPathError)
    records = [RecordFault(**record) for record in error["records"]]
    return kind(error["code"], error["message"], retryable=error["retryable"], records=records)
