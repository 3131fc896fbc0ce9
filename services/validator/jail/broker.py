"""The broker's side of a validation: prepares descriptors, has the job run, trusts nothing of the answer unseen."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import NonNegativeInt

from libs.common.jail import MIB, JobServer, JobServerLost, Limits
from libs.common.jail.exchange import sealed
from libs.common.vocabulary.base import Strict
from services.validator.checks import Plan
from services.validator.jail.sealing import RESULT_BYTES, ResultError, Rows, raw, seal

RULES = "rules"
"""The warm parent that judges, by name."""
ENTRY = "services.validator.jail.job:run"
PRELOAD = (
    "libs.common.jail.lean:hide_all_but_tables",
    "duckdb",
    "pyarrow",
    "libs.common.jail.resealing",
    "services.validator.jail.job",
)
WARM = "services.validator.jail.engine:warm"
REHEARSAL = "services.validator.jail.engine:rehearse"

_RESERVED = frozenset(
    {
        "extract",
        "typed",
        "held",
        "failures",
        "corrections",
        "isolated",
        "records",
        "run",
        "answer",
        "previous",
        "typed_previous",
    }
)
_QUERY_SHARE = 0.7
"""Of the wall time: a query that takes longer is its rule's error; beyond the wall time the whole job is stopped."""
_SMALL = 4 * MIB
_PER_THREAD = 32 * MIB
"""A second thread takes a tenth more of the processor for its own buffers, and saves a tenth of a second here."""
_LIVES = 3


class OtherColumnsError(Exception):
    """The data has other columns than it was told to have; nothing was judged."""


class RuleTally(Strict):
    """What came of one rule over all records; `problem` says why it could not be judged, if so.

    `waived` are the failures that somebody accepted.
    """

    rule_id: str
    rule_version: int
    severity: str
    waived: NonNegativeInt = 0
    passed: NonNegativeInt
    failed: NonNegativeInt
    unknown: NonNegativeInt
    errors: NonNegativeInt
    problem: str = ""


class FieldTally(Strict):
    """In how many records a field has a value, and in how many a check that names it failed."""

    name: str
    given: NonNegativeInt
    failed: NonNegativeInt


class Measures(Strict):
    """Records with a warning and corrected ones, failing records by rule id, and what there is of each field."""

    warned: NonNegativeInt
    corrected: NonNegativeInt
    rules: dict[str, NonNegativeInt]
    fields: tuple[FieldTally, ...]

    def most(self) -> int:
        """Return the largest count."""
        counted = [count for field in self.fields for count in (field.given, field.failed)]
        return max(self.warned, self.corrected, *self.rules.values(), *counted, 0)


class Outcome(Strict):
    """Counts of a validation. `held` is the number of records with a blocking failure, `failures` the rows of the file.

    `measures` are there where they were asked for.
    """

    rows: NonNegativeInt
    rules: tuple[RuleTally, ...]
    failures: NonNegativeInt
    held: NonNegativeInt
    corrections: NonNegativeInt
    measures: Measures | None = None

    @property
    def errored(self) -> tuple[RuleTally, ...]:
        """The rules that erred instead of failing: they fail the run."""
        return tuple(rule for rule in self.rules if rule.errors or rule.problem)


@dataclass(frozen=True, slots=True)
class Request:
    """One validation: the plan, the data (Parquet), mapping tables by name, and a private directory for its output.

    `measure` asks for `Outcome.measures`. `failures.parquet` and `corrections.parquet` are written to `scratch`, which exists. `memory` is the engine's, in
    bytes; the process gets half as much again. `told` are column types that the plan takes on trust, so that the job must
    find them in the data. `owner` is the tenant whose share it takes, `kind` what it is called in
    figures.
    """

    plan: Plan
    data: Path
    scratch: Path
    mappings: Mapping[str, pa.Table] = field(default_factory=dict)
    memory: int = 1024 * MIB
    threads: int = 2
    wall_seconds: float = 900.0
    previous: Path | None = None
    spill_bytes: int = 10 * 1024 * MIB
    measure: bool = False
    told: Mapping[str, str] | None = None
    owner: str | None = None
    kind: str = "validation"


def job_server(slots: int = 2) -> JobServer:
    """Return a server for validations with a warm parent of its own; enter it before use."""
    return JobServer(ENTRY, preload=PRELOAD, warm=WARM, rehearsal=REHEARSAL, slots=slots)


async def validate(server: JobServer, request: Request) -> Outcome:
    """Judge the records of `request.data` in the jail; when it dies under the work, in its next life.

    Raises:
        OtherColumnsError: `request.told` is wrong. ResultError: the answer is malformed. JobError, ConfinementError: see
            `JobServer.run`.
    """
    outcome, _ = await validate_and_show(server, request, 0)
    return outcome


async def validate_and_show(server: JobServer, request: Request, most: int) -> tuple[Outcome, Rows]:
    """Judge as `validate` does and return also the failures and corrections, where either are at most `most`.

    Raises:
        ResultError: the answer is malformed. JobError, ConfinementError: see `JobServer.run`.
    """
    _refuse_reserved(request.mappings)
    for _ in range(_LIVES - 1):
        with suppress(JobServerLost):
            return await _judged(server, request, most)
    return await _judged(server, request, most)


async def _judged(server: JobServer, request: Request, most: int) -> tuple[Outcome, Rows]:
    outcome = _checked(await _run(server, request))
    if outcome.measures is not None and {one.name for one in outcome.measures.fields} != set(request.plan.texts):
        raise ResultError("other fields were counted than there are")
    counts = {"failures": outcome.failures, "corrections": outcome.corrections}
    return outcome, await seal(server, request.scratch, counts, most, request.owner)


async def _run(server: JobServer, request: Request) -> Any:
    with _descriptors(request) as (readable, writable):
        answer = await server.run(
            _job(request),
            readable,
            writable=writable,
            limits=_limits(request),
            owner=request.owner,
            kind=request.kind,
        )
    if isinstance(answer, dict) and answer.get("columns") == "others":
        raise OtherColumnsError
    return answer


def _is_small(request: Request) -> bool:
    """Say whether the data is too little for its engine to put anything on disk."""
    return request.data.stat().st_size < _SMALL


def room_of(spill_bytes: int) -> int:
    """Return how many bytes there are for results and what engines spill; they stop by themselves at `spill_bytes` each."""
    return 2 * RESULT_BYTES + spill_bytes * 5 // 4


def _job(request: Request) -> dict[str, object]:
    resources: dict[str, float] = {"memory": request.memory, "query_seconds": request.wall_seconds * _QUERY_SHARE}
    if not _is_small(request):
        resources |= {"threads": _threads(request), "spill_bytes": request.spill_bytes}
    return {
        "plan": request.plan.model_dump(mode="json"),
        "mappings": list(request.mappings),
        "resources": resources,
    } | _asked(request)


def _threads(request: Request) -> int:
    return min(request.threads, 1 + request.data.stat().st_size // _PER_THREAD)


def _asked(request: Request) -> dict[str, object]:
    measure: dict[str, object] = {"measure": True} if request.measure else {}
    return {**measure, "columns": dict(request.told)} if request.told else measure


def _limits(request: Request) -> Limits:
    # the engine overshoots its own limit by up to a third; the rest is the interpreter and its libraries
    return Limits(
        address_space=request.memory * 3 // 2 + 1536 * MIB,
        cpu_seconds=int(request.wall_seconds * request.threads) + 1,
        wall_seconds=request.wall_seconds,
        file_size=RESULT_BYTES if _is_small(request) else max(RESULT_BYTES, request.spill_bytes),
        total_size=None if _is_small(request) else room_of(request.spill_bytes),
        open_files=256,
    )


@contextmanager
def _descriptors(request: Request) -> Iterator[tuple[list[int], list[int]]]:
    with ExitStack() as stack:

        def closed(descriptor: int) -> int:
            stack.callback(os.close, descriptor)
            return descriptor

        def opened(path: Path, flags: int) -> int:
            return closed(os.open(path, flags | os.O_CLOEXEC, 0o600))

        readable = [opened(request.data, os.O_RDONLY)]
        readable += [closed(in_memory(table)) for table in request.mappings.values()]
        if request.previous is not None:
            readable.append(opened(request.previous, os.O_RDONLY))
        new = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        files = [opened(raw(request.scratch, name), new) for name in ("failures", "corrections")]
        # no place to make files in where nothing is spilled
        yield readable, [*files, closed(sealed(b"") if _is_small(request) else _spill(request.scratch))]


def _spill(scratch: Path) -> int:
    spill = scratch / "spill"
    spill.mkdir(exist_ok=True)
    return os.open(spill, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def in_memory(table: pa.Table) -> int:
    """Return a descriptor of a table as Parquet, in memory that nobody can change or enlarge; the caller closes it."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sealed(sink.getvalue().to_pybytes())


def _refuse_reserved(tables: Mapping[str, pa.Table]) -> None:
    taken = sorted(name for name in tables if name in _RESERVED or (name[:1] in "gs" and name[1:].isdigit()))
    if taken:
        raise ValueError(f"mapping tables must not be named {', '.join(taken)}")


def _checked(answer: object) -> Outcome:
    try:
        outcome = Outcome.model_validate(answer)
    except ValueError as error:
        raise ResultError(f"the validation's counts are malformed: {error}") from error
    for rule in outcome.rules:
        if rule.passed + rule.failed + rule.unknown + rule.errors != outcome.rows:
            raise ResultError(f"rule {rule.rule_id} does not account for every record")
    if outcome.measures is not None and outcome.measures.most() > outcome.rows:
        raise ResultError("more was counted than there are records")
    return outcome
