"""The life of one job's process: confine, say so, work, answer, leave."""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Self

from libs.common.jail import canaries, landlock, privileges
from libs.common.jail.confinement import confine, engine_paths
from libs.common.jail.exchange import LENGTH, proof_of
from libs.common.jail.frames import frames_of
from libs.common.jail.isolation import House
from libs.common.jail.limits import Limits

JobFunction = Callable[[dict[str, Any], Sequence[int]], Any]
"""Takes the job and the descriptors that came with it; returns what JSON can say."""

EXIT_UNCONFINED = 70
EXIT_FAILED = 71


@dataclass(frozen=True, slots=True)
class Work:
    """What a child is handed: descriptors of its request, its result, its proof of confinement, and of the job's files.

    The last `writable` of `files` may be written to.
    """

    request: int
    result: int
    proof: int
    files: tuple[int, ...]
    writable: int

    @classmethod
    def of(cls, message: Mapping[str, Any], descriptors: Sequence[int]) -> Self:
        """Read a server's message and what came with it."""
        request, result, proof, *files = descriptors
        return cls(request, result, proof, tuple(files), message["writable"])


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a child stands before it has a job: the house, and Landlock's rules about it, which bind nobody yet."""

    house: House
    rules: int | None

    @classmethod
    def take(cls, house: House) -> Self:
        """Do what needs no job: a session of one's own, an end with the parent's, the rules about the house."""
        os.setsid()
        privileges.die_with_parent()
        signal.set_wakeup_fd(-1)
        return cls(house, landlock.begin([*house.readable, *engine_paths()]) if house.landlock else None)


def live(function: JobFunction, work: Work, house: House, ground: Ground | None = None) -> NoReturn:
    """Run the job of `work` and end, on `ground` that was taken before, if so; never returns, never raises.

    A job that is done stops its process: what has stopped runs no more, so that its parent can tell of its end and kill
    it. Leaving would keep the answer back until all memory is freed, which takes longer than some jobs.
    """
    code = EXIT_UNCONFINED
    try:
        request = _prepare(work, ground or Ground.take(house))
        code = EXIT_FAILED
        _write(work.result, _outcome(OWN.get(request["call"], function), request["job"], work.files))
        code = 0
        signal.raise_signal(signal.SIGSTOP)
    except BaseException as error:  # the last word of this process
        _try_to_say(work.result, error)
    finally:
        os._exit(code)


def _canaries(job: dict[str, Any], _: Sequence[int]) -> dict[str, bool]:
    return canaries.die(job["name"]) if "name" in job else canaries.attempt_all()


def _reseal(job: dict[str, Any], files: Sequence[int]) -> Any:
    from libs.common.jail import resealing  # noqa: PLC0415 - only where the parent has loaded it: nothing can be, here

    return resealing.reseal(job, files)


def _describe(job: dict[str, Any], files: Sequence[int]) -> Any:
    from libs.common.jail import resealing  # noqa: PLC0415

    return resealing.describe(job, files)


OWN: dict[str, JobFunction] = {"canaries": _canaries, "reseal": _reseal, "describe": _describe}
"""What every warm parent's children can do besides their parent's own job."""


def rehearse() -> None:
    """Do, with nothing of anybody's, what every warm parent's children can do, so that it is in memory."""
    if "libs.common.jail.resealing" in sys.modules:
        from libs.common.jail import resealing  # noqa: PLC0415

        resealing.rehearse()


def _prepare(work: Work, ground: Ground) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(_read(work.request))
    split = len(work.files) - work.writable
    confinement = confine(
        Limits.from_dict(request["limits"]),
        readable=work.files[:split],
        writable=work.files[split:],
        keep={work.result, work.proof, *work.files},
        house=ground.house.layers,
        rules=ground.rules,
    )
    os.write(work.proof, proof_of(confinement.layers))
    os.close(work.proof)
    return request


def _outcome(function: JobFunction, job: dict[str, Any], files: Sequence[int]) -> dict[str, Any]:
    try:
        return {"value": function(job, files)}
    except Exception as error:
        return _failure(error)


def _failure(error: BaseException) -> dict[str, Any]:
    return {"kind": type(error).__name__, "message": str(error)[:2000], "trace": frames_of(error.__traceback__)}


def _try_to_say(result: int, error: BaseException) -> None:
    try:
        _write(result, _failure(error))
    except (OSError, MemoryError, ValueError):
        return  # the exit code says the rest


def _read(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _write(descriptor: int, answer: dict[str, Any]) -> None:
    data = json.dumps(answer).encode()
    _put(descriptor, LENGTH.pack(len(data)), 0)
    most = os.fstat(descriptor).st_size - LENGTH.size
    if len(data) <= most:  # otherwise its length says all
        _put(descriptor, data, LENGTH.size)


def _put(descriptor: int, data: bytes, offset: int) -> None:
    view, written = memoryview(data), 0
    while written < len(data):
        written += os.pwrite(descriptor, view[written:], offset + written)
