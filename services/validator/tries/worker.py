"""Judges a run's sealed records by rules that are tried: the engine, messages and keys of the run."""

import shutil
import tempfile
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
import structlog
from pydantic import TypeAdapter

from libs.common.app import Runtime
from libs.common.context import Context, utc_now
from libs.common.definitions.commands import Definitions
from libs.common.definitions.copies import Pinned
from libs.common.errors import Invalid, Refusal, Unavailable
from libs.common.events.runner import ExtractGranted
from libs.common.identity.grants import require_grant
from libs.common.jail import JobError, JobServerLost, fault_of
from libs.common.objects import ObjectAlteredError, ObjectMissingError
from libs.common.vocabulary.rules import RuleSpec
from libs.common.vocabulary.schemas import SchemaSpec
from libs.expressions import Moment
from services.validator.case import Case, RuleUnfitError
from services.validator.columns import column_types
from services.validator.jail.broker import validate
from services.validator.jail.sealing import ResultError, describe
from services.validator.tries import commands, store
from services.validator.trying import TRIES, Given, Tried, make_case, shown

_LOG = structlog.get_logger(__name__)
_RULES: TypeAdapter[list[UUID | RuleSpec]] = TypeAdapter(list[UUID | RuleSpec])
MOST_FAILURES = 1000


class Trier:
    """Works on granted tries; one whose process dies is asked for again by whoever wants it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._settings = runtime.settings

    async def work(self, reference: dict[str, Any]) -> None:
        """Handle one poke."""
        await self._runtime.extras["jail"].opening(self._settings.lease_seconds)
        context = Context(UUID(reference["tenant_id"]), "service:validator", utc_now())
        id_ = UUID(reference["try_id"])
        async with self._runtime.database.transaction(context) as tx:
            row = await store.find(tx, id_)
        if row["status"] != "granted":
            return
        granted = ExtractGranted.model_validate(row["dataset"])
        try:
            ended: dict[str, Any] = {
                "result": await self._judged(context, granted, _RULES.validate_python(row["rules"]))
            }
            TRIES.labels("judged").inc()
        except Exception as error:
            TRIES.labels("stopped").inc()
            code, message = _explained(error)
            _LOG.warning("try.failed", run=str(granted.run_id), code=code, error=repr(error))
            ended = {"code": code, "message": message[:2000]}
        async with self._runtime.database.transaction(replace(context, now=utc_now())) as tx:
            await commands.end_try(tx, id_, granted.run_id, "granted", **ended)

    async def _judged(self, context: Context, granted: ExtractGranted, rules: list[UUID | RuleSpec]) -> dict[str, Any]:
        purpose = f"try:{granted.try_id}"
        require_grant(
            self._settings.runner_public_key, context.tenant_id, granted.run_id, purpose, granted.grant, context.now
        )
        if granted.dataset not in granted.grant.reads:
            raise Refusal("The grant does not name the dataset.", type="bad-grant")
        case = await self._case(context, granted, rules)
        scratch = Path(tempfile.mkdtemp(prefix="try-", dir=self._settings.scratch))
        try:
            data = scratch / "data.parquet"
            await self._runtime.objects.fetch(granted.dataset.key, granted.dataset.sha256, data)
            return shown(await self._tried(case, data, scratch, str(context.tenant_id)))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    async def _case(self, context: Context, granted: ExtractGranted, rules: list[UUID | RuleSpec]) -> Case:
        definitions: Definitions = self._runtime.extras["definitions"]
        key = granted.business_key if granted.phase == "input" else ()
        given = Given((), key, Moment(granted.business_date, granted.as_of))
        async with self._runtime.database.transaction(context) as tx:
            case = await make_case(tx, definitions, definitions.sealed, rules, given)
        version = granted.schema_version
        body = await definitions.sealed.read(
            Pinned(version.kind, version.id, version.number, version.key, version.sha256)
        )
        if any(rule.spec.schema_id != version.id for rule in case.rules):
            raise Invalid("The rules are made for another schema than the run's records have.", type="other-schema")
        return replace(case, schema=SchemaSpec.model_validate(body))

    async def _tried(self, case: Case, data: Path, scratch: Path, owner: str) -> Tried:
        settings, jail = self._settings, self._runtime.extras["jail"]
        limits = {name: getattr(settings, name) for name in ("memory_mib", "threads", "wall_seconds", "spill_mib")}
        columns = column_types(await describe(jail, data, owner))
        request = case.request(data, scratch, columns, **limits)
        outcome = await validate(jail, replace(request, owner=owner, kind="try"))
        return Tried(outcome, _first(scratch / "failures.parquet"), _first(scratch / "corrections.parquet"))


def _first(path: Path) -> list[dict[str, Any]]:
    """Return the first rows of a file; memory holds a batch."""
    with pq.ParquetFile(path) as file:
        rows = (row for batch in file.iter_batches(batch_size=MOST_FAILURES) for row in batch.to_pylist())
        return list(islice(rows, MOST_FAILURES))


def _explained(error: Exception) -> tuple[str, str]:
    if isinstance(error, Refusal):
        return error.kind, error.detail
    if isinstance(error, RuleUnfitError):
        return "rule-does-not-compile", f"A rule does not fit the records: {error}"
    if isinstance(error, (JobServerLost, Unavailable)):
        return "validator-unavailable", "Rules cannot be tried now; ask again."
    if isinstance(error, (JobError, ResultError)):
        fault = fault_of(error, "try")
        return ("internal-error", fault) if fault else ("try-stopped", f"The try was stopped: {error}")
    if isinstance(error, (ObjectMissingError, ObjectAlteredError)):
        return "dataset-altered", "The sealed records are gone, or are not what was sealed."
    return "internal", "The try could not be made; ask again."
