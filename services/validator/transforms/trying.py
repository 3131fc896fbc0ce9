"""Trying a report's own code on given records: guard, jail, gate and budget as in a run, and nothing is kept."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq

from libs.common.database.transaction import Transaction
from libs.common.definitions.copies import SealedReader
from libs.common.definitions.kinds import Specs
from libs.common.errors import FieldProblem, Invalid, TooManyRequests, Unavailable
from libs.common.jail import MIB, ConfinementError, JobError, JobServer, JobServerLost, OverBudget, fault_of
from libs.common.nearest import nearest_name
from libs.common.vocabulary.mappings import MappingSpec
from libs.common.vocabulary.rules import GivenValue
from libs.common.vocabulary.schemas import SchemaSpec
from libs.common.vocabulary.transforms import PythonTransform, SqlTransform
from libs.expressions import mapping_rows
from libs.transforms import guarded_query, python_flaws, query_flaws
from services.validator.commands import part_of
from services.validator.jail.answers import TransformStoppedError, log_excerpt
from services.validator.jail.limits import Budget
from services.validator.jail.transforms import Done, Work, make_ready, show, transform
from services.validator.transforms.metrics import TRIES
from services.validator.transforms.room import Room
from services.validator.trying import given_table, mapping_on, over_budget

TRYING_SLOTS = 2
_BUDGET = Budget(memory=2048 * MIB, result_bytes=16 * MIB, cpu_seconds=10, wall_seconds=10.0, gate_seconds=10.0)
_MOST_ROWS = 1000
_PATIENCE = 40


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is to be tried, and on what; specifications instead of ids."""

    transform: PythonTransform | SqlTransform
    source: SchemaSpec
    target: SchemaSpec
    records: Sequence[dict[str, GivenValue]]
    business_key: tuple[str, ...] = ()
    mappings: Mapping[str, MappingSpec] = field(default_factory=dict)
    business_date: date = date.min


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of it: counts and figures, or what stopped it; rows with the places of their records; the log."""

    done: Done | None
    stopped: TransformStoppedError | None
    rows: list[dict[str, Any]]
    dropped: list[dict[str, Any]]
    log: str


class TransformTrier:
    """Tries transforms, one at a time for each tenant."""

    def __init__(self, server: JobServer, specs: Specs, sealed: SealedReader) -> None:
        self._server = server
        self._specs = specs
        self._sealed = sealed
        self._room = Room(TRYING_SLOTS, 1)

    async def gather(
        self,
        tx: Transaction,
        code: PythonTransform | SqlTransform,
        schemas: tuple[UUID, UUID],
        mappings: Mapping[str, UUID],
        attempt: Mapping[str, Any],
    ) -> Attempt:
        """Read the newest specifications of what the try refers to.

        Raises:
            Invalid: the code, the records or the key do not fit. NotYetVisible: a definition is not known here yet.
        """
        source, target = [
            SchemaSpec.model_validate(await part_of(tx, self._specs, "schema", id_, f"/{name}"))
            for id_, name in zip(schemas, ("source_schema_id", "target_schema_id"), strict=True)
        ]
        day: date = attempt["business_date"]
        known = {alias: await mapping_on(tx, self._specs, self._sealed, id_, day) for alias, id_ in mappings.items()}
        made = Attempt(code, source, target, mappings=known, **attempt)
        await asyncio.to_thread(_require_sound, made)
        _require_known(made)
        return made

    async def run(self, tenant_id: UUID, attempt: Attempt) -> Tried:
        """Run a try in the jail.

        Raises:
            TooManyRequests: other tries are going on. Unavailable: the jail is away for the moment.
        """
        for _ in range(_PATIENCE):
            if self._room.has_place(tenant_id):
                break
            await asyncio.sleep(0.05)
        else:
            raise TooManyRequests("Other tries are going on; try again when they are done.", retry_after=2)
        with self._room.place(tenant_id):
            return await self._run(attempt, str(tenant_id))

    async def _run(self, attempt: Attempt, owner: str) -> Tried:
        scratch = Path(tempfile.mkdtemp(prefix="try-"))
        kind = attempt.transform.kind
        try:
            tried = await self._in(scratch, attempt, owner)
            TRIES.labels(kind, tried.stopped.code if tried.stopped else "completed").inc()
        except (JobServerLost, ConfinementError) as error:
            raise Unavailable("Transforms cannot be tried now; try again.", retry_after=1) from error
        except OverBudget as error:
            raise over_budget(error) from error
        except JobError as error:
            fault = fault_of(error, "try")
            code = "internal-error" if fault else "try-stopped"
            raise Invalid(fault or f"The records could not be read: {error}", type=code) from error
        else:
            return tried
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    async def _in(self, scratch: Path, attempt: Attempt, owner: str) -> Tried:
        given, records = scratch / "given.parquet", scratch / "records.parquet"
        pq.write_table(given_table(attempt.source, attempt.records), given)
        await make_ready(self._server, given, records, attempt.source, attempt.business_key, owner)
        work = replace(_work(attempt, records, scratch), owner=owner, kind="try")
        try:
            done = await transform(self._server, work, _BUDGET)
            shown = await show(self._server, work, _BUDGET, done.counted, _MOST_ROWS)
        except TransformStoppedError as stopped:
            return Tried(None, stopped, [], [], log_excerpt(scratch))
        rows, dropped = ([one.model_dump() for one in part] for part in (shown.shown, shown.drops))
        return Tried(done, None, rows, dropped, log_excerpt(scratch))


def _work(attempt: Attempt, records: Path, scratch: Path) -> Work:
    code, query = attempt.transform, ""
    if isinstance(code, SqlTransform):
        columns = {alias: spec.columns for alias, spec in attempt.mappings.items()}
        query = guarded_query(code.query, attempt.source, columns).sql
    tables = {alias: mapping_rows(spec, attempt.business_date) for alias, spec in attempt.mappings.items()}
    return Work(code, query, attempt.target, records, scratch, tables)


def _require_sound(attempt: Attempt) -> None:
    code = attempt.transform
    if isinstance(code, PythonTransform):
        problems = [FieldProblem.placed("/transform/code", flaw) for flaw in islice(python_flaws(code.code), 50)]
    else:
        columns = {alias: spec.columns for alias, spec in attempt.mappings.items()}
        flaws = query_flaws(code.query, attempt.source, attempt.target, columns)
        problems = [FieldProblem.placed("/transform/query", flaw, category=flaw.category) for flaw in islice(flaws, 50)]
    if problems:
        raise Invalid("The transform cannot be run.", fields=problems)


def _require_known(attempt: Attempt) -> None:
    unknown = list(islice(_unknown(attempt), 50))
    if unknown:
        raise Invalid("The records do not fit the source schema.", fields=unknown)


def _unknown(attempt: Attempt) -> Iterator[FieldProblem]:
    names = {one.name: None for one in attempt.source.fields}
    given = [(f"/records/{number}/{name}", name) for number, one in enumerate(attempt.records) for name in one]
    for place, name in given:
        if name not in names:
            near = nearest_name(name, names)
            yield FieldProblem.told(place, "the source schema has no such field", nearest=near)
    for name in attempt.business_key:
        if name not in names:
            near = nearest_name(name, names)
            yield FieldProblem.told("/business_key", f"the source schema has no field {name!r}", nearest=near)
