"""Artifacts: fetched whole, or not at all."""

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import quote
from uuid import UUID

import anyio
import structlog
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from libs.common.app import Runtime
from libs.common.database.transaction import Row
from libs.common.errors import Conflict, NotFound
from libs.common.events.runner import ArtifactDownloaded
from libs.common.http.door import Caller, OpenDoor, permission, request_context
from libs.common.objects import ObjectAlteredError, ObjectMissingError, is_of
from services.runner.store import parts

_LOG = structlog.get_logger(__name__)
_CHUNK = 256 * 1024
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "xml": "application/xml",
}

artifacts = OpenDoor("/v1/artifacts", tag="artifacts")


_FILES: dict[int | str, dict[str, Any]] = {200: {"content": {kind.partition(";")[0]: {} for kind in _TYPES.values()}}}


@artifacts.get(
    "/{artifact_id}/content", dependencies=[permission("artifact:read")], responses=_FILES, response_class=Response
)
async def content(request: Request, caller: Caller, artifact_id: UUID) -> StreamingResponse:
    """Return an artifact's bytes, checked against their hash before the first one leaves."""
    runtime: Runtime = request.app.state.runtime
    context = request_context(request, caller)
    async with runtime.database.transaction(context) as tx:
        artifact = await parts.artifact_of(tx, artifact_id)
        # a row that names another tenant's object is no artifact of this one, however it came to be
        if artifact is None or not is_of(caller.tenant_id, artifact["object_key"]):
            raise NotFound("There is no such artifact.")
    path = await _fetch(runtime, artifact)
    async with runtime.database.transaction(context) as tx:
        fact = ArtifactDownloaded(run_id=artifact["run_id"], artifact_id=artifact_id, name=artifact["name"])
        await tx.emit("artifact.downloaded", fact, entity=artifact_id)
    return StreamingResponse(_bytes(path), media_type=_TYPES[artifact["format"]], headers=_headers(artifact))


async def _fetch(runtime: Runtime, artifact: Row) -> Path:
    scratch: Path = runtime.extras["scratch"]
    path = Path(mkdtemp(prefix="download-", dir=scratch)) / "content"
    try:
        await runtime.objects.fetch(artifact["object_key"], artifact["sha256"], path)
    except (ObjectAlteredError, ObjectMissingError) as error:
        _LOG.error("artifact.altered", artifact=str(artifact["id"]), error=repr(error))
        raise Conflict("The stored file is not the one that was sealed.", type="artifact-altered") from error
    return path


async def _bytes(path: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        # the name is gone at once; the bytes live as long as the descriptor
        path.unlink()
        path.parent.rmdir()
        while chunk := await file.read(_CHUNK):
            yield chunk


def _headers(artifact: Row) -> dict[str, str]:
    return {
        "Content-Length": str(artifact["size"]),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(artifact['name'])}",
        "ETag": f'"{artifact["sha256"]}"',
        "X-Content-Type-Options": "nosniff",
    }
