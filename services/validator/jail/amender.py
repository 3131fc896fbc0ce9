"""The broker's side of amending: hands amendments in, trusts nothing of the answer unseen."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from libs.common.jail import MIB, JobServer, Limits
from services.validator.jail.broker import in_memory, room_of
from services.validator.jail.sealing import ResultError, described, raw, seal_table
from services.validator.overlay import Overlay

_TEXTS = ("key", "id", "field", "state", "source_value", "new_value")
_RESULT_COLUMNS: dict[str, pa.DataType] = {"_ordinal": pa.int64(), **dict.fromkeys(_TEXTS, pa.string())}
_AMENDMENT_COLUMNS: dict[str, pa.DataType] = {
    "ordinal": pa.int64(),
    **dict.fromkeys(("id", "key", "field", "old_value", "new_value"), pa.string()),
}
_RESULTS, _AMENDMENTS = pa.schema(_RESULT_COLUMNS), pa.schema(_AMENDMENT_COLUMNS)
_MOST_RESULTS = 200_000
_SPILL_BYTES = 10 * 1024 * MIB


@dataclass(frozen=True, slots=True)
class Amending:
    """Amendments (`id`, `key`, `ordinal`, `field`, `old_value`, `new_value`) for a dataset in a private directory."""

    overlay: Overlay
    rows: Sequence[dict[str, Any]]
    data: Path
    scratch: Path
    memory: int
    wall_seconds: float
    owner: str | None = None

    @property
    def amended(self) -> Path:
        """The dataset with the amendments laid over it."""
        return self.scratch / "amended.parquet"


async def amend(server: JobServer, request: Amending) -> list[dict[str, Any]]:
    """Write the amended dataset; return how each amendment stands at each of its records.

    Raises:
        ResultError: the answer is malformed. JobError, ConfinementError: see `JobServer.run`.
    """
    resources = {"memory": request.memory, "spill_bytes": _SPILL_BYTES}
    job = {"amend": request.overlay.model_dump(), "resources": resources}
    with _descriptors(request) as (readable, writable):
        limits = _limits(request)
        answer = await server.run(job, readable, writable=writable, limits=limits, owner=request.owner, kind="amending")
    count = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(count, int) or not 0 <= count <= _MOST_RESULTS:
        raise ResultError(f"amendments met {count} records")
    await _require_whole(server, request)
    return await seal_table(server, request.scratch, "amendments", _RESULTS, count, request.owner)


async def _require_whole(server: JobServer, request: Amending) -> None:
    before, after = [await described(server, path, request.owner) for path in (request.data, request.amended)]
    if before.rows != after.rows or list(before.columns) != list(after.columns):
        raise ResultError("the amended dataset is not the dataset")


def _limits(request: Amending) -> Limits:
    return Limits(
        address_space=request.memory * 3 // 2 + 1536 * MIB,
        cpu_seconds=int(request.wall_seconds) + 1,
        wall_seconds=request.wall_seconds,
        file_size=64 * 1024 * MIB,
        total_size=room_of(_SPILL_BYTES + 8 * request.data.stat().st_size),
        open_files=256,
    )


@contextmanager
def _descriptors(request: Amending) -> Iterator[tuple[list[int], list[int]]]:
    spill = request.scratch / "spill"
    spill.mkdir(exist_ok=True)
    with ExitStack() as stack:

        def opened(path: Path, flags: int) -> int:
            descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, descriptor)
            return descriptor

        table = in_memory(pa.Table.from_pylist(list(request.rows), schema=_AMENDMENTS))
        stack.callback(os.close, table)
        new = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        files = [opened(path, new) for path in (request.amended, raw(request.scratch, "amendments"))]
        yield [opened(request.data, os.O_RDONLY), table], [*files, opened(spill, os.O_RDONLY | os.O_DIRECTORY)]
