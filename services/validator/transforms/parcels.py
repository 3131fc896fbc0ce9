"""What a transform needs and leaves, by reference: versions read, rows and logs sealed."""

import asyncio
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from libs.common.context import Context
from libs.common.definitions.copies import Pinned, SealedReader
from libs.common.errors import Refusal
from libs.common.events.runner import ObjectReference, TransformRequested, VersionReference
from libs.common.events.validator import TransformCompleted
from libs.common.objects import Objects
from libs.common.vocabulary.mappings import MappingSpec
from libs.common.vocabulary.reports import ReportSpec
from libs.common.vocabulary.schemas import SchemaSpec
from libs.common.vocabulary.transforms import SqlTransform, Transform
from libs.expressions import mapping_rows
from libs.transforms import guarded_query
from services.validator.jail.answers import log_excerpt
from services.validator.jail.diary import MOST_BYTES
from services.validator.jail.transforms import Done, Work


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed transform."""

    context: Context
    request: TransformRequested
    attempt: int


class Parcels:
    """Fetches and seals for transforms."""

    def __init__(self, objects: Objects, sealed: SealedReader) -> None:
        self._objects = objects
        self._sealed = sealed

    async def unpack(self, job: Job, scratch: Path) -> Work:
        """Read the versions that a job names, and guard its query; the records are yet to be fetched.

        Raises:
            Refusal: the code is not the one that was asked for. SqlError: the query may not run.
        """
        request = job.request
        report = ReportSpec.model_validate(await self._sealed.read(_pinned(request.report)))
        code = report.transform
        if isinstance(code, Transform):
            raise Refusal("The report has no code of its own.", type="no-code")
        text = code.query if isinstance(code, SqlTransform) else code.code
        if hashlib.sha256(text.encode()).hexdigest() != request.code_sha256:
            raise Refusal("The code is not the one that was asked for.", type="bad-code")
        mappings = await self._mappings(request, report)
        query = ""
        if isinstance(code, SqlTransform):
            source = SchemaSpec.model_validate(await self._sealed.read(_pinned(request.source_schema)))
            columns = {alias: spec.columns for alias, spec in mappings.items()}
            query = (await asyncio.to_thread(guarded_query, code.query, source, columns)).sql
        return Work(
            transform=code,
            query=query,
            target=SchemaSpec.model_validate(await self._sealed.read(_pinned(request.target_schema))),
            records=scratch / "records.parquet",
            scratch=scratch,
            mappings={alias: mapping_rows(spec, request.business_date) for alias, spec in mappings.items()},
            owner=str(job.context.tenant_id),
        )

    async def _mappings(self, request: TransformRequested, report: ReportSpec) -> dict[str, MappingSpec]:
        pinned = {version.id: _pinned(version) for version in request.mappings}
        return {
            alias: MappingSpec.model_validate(await self._sealed.read(pinned[id_]))
            for alias, id_ in report.mappings.items()
        }

    async def completed(self, job: Job, scratch: Path, work: Work, done: Done, began: float) -> TransformCompleted:
        """Seal what a transform made and return what is said of it."""
        counted, request = done.counted, job.request
        output = await self._seal(job, scratch / "rows.parquet")
        traced = work.transform.yields != "one_to_one"
        return TransformCompleted(
            run_id=request.run_id,
            request_id=request.request_id,
            kind=request.kind,
            code_sha256=request.code_sha256,
            yields=work.transform.yields,
            rows=counted.rows,
            used=counted.used,
            dropped=counted.dropped,
            output=output,
            trace=await self._seal(job, scratch / "trace.parquet") if traced else None,
            drops=await self._seal(job, scratch / "drops.parquet") if counted.dropped else None,
            log=await self.seal_log(job, scratch),
            log_excerpt=log_excerpt(scratch),
            code_seconds=done.code_seconds,
            gate_seconds=done.gate_seconds,
            seconds=round(time.perf_counter() - began, 4),
            cpu_seconds=done.took.cpu_seconds if done.took else None,
            peak_bytes=done.took.peak_rss if done.took else None,
        )

    async def seal_log(self, job: Job, scratch: Path) -> ObjectReference | None:
        """Seal what the code said, if anything."""
        path = scratch / "log.txt"
        if path.exists() and path.stat().st_size > 2 * MOST_BYTES:
            os.truncate(path, 2 * MOST_BYTES)  # somebody wrote past our own writer
        return await self._seal(job, path) if path.exists() and path.stat().st_size else None

    async def _seal(self, job: Job, path: Path) -> ObjectReference:
        # a place for each attempt: what a lost worker still writes is never what another one sealed
        place = f"{job.request.grant.writes.rstrip('/')}/{job.request.request_id}-{job.attempt}/{path.name}"
        sealed = await self._objects.put_file(place, path)
        return ObjectReference(key=sealed.key, sha256=sealed.sha256, size=sealed.size)


def _pinned(version: VersionReference) -> Pinned:
    return Pinned(version.kind, version.id, version.number, version.key, version.sha256)
