"""Exports: NDJSON that the offline verifier reads. The last line counts, so that a download cut short shows.

All entries go out bare: whoever has them all builds the tree. A filtered export gives each entry its proof against the
latest checkpoint, and stops at that checkpoint's size.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict
from libs.common.http.json import json_bytes
from services.audit import proofs, store
from services.audit.checkpoint import origin_of
from services.audit.commands import OpenTransaction
from services.audit.filters import Filters

_PAGE = 500
_ENTRIES = store.ENTRY.c
_EXPORTED = (
    _ENTRIES.seq, _ENTRIES.stream_seq, _ENTRIES.received_at, _ENTRIES.nats_subject, _ENTRIES.fault, _ENTRIES.body,
    _ENTRIES.leaf_hash,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """What an export will hold: entries below `size` that fit the conditions, with proofs if they are not all."""

    origin: str
    size: int
    first: int
    count: int
    proofs: bool
    checkpoint: str | None
    condition: ColumnElement[bool]


async def plan(tx: Transaction, filters: Filters) -> Plan:
    """Fix what goes out, before the first line does.

    Raises:
        Conflict: a filtered export needs a checkpoint to prove its entries against, and none was signed yet.
    """
    latest = await store.latest_checkpoint(tx)
    if filters.any and latest is None:
        raise Conflict("No checkpoint was signed yet: try again in a minute.", type="no-checkpoint-yet")
    size = latest["size"] if filters.any and latest else (await store.head(tx)).frontier.size
    condition = and_(_ENTRIES.tenant_id == tx.tenant_id, _ENTRIES.seq < size, *filters.conditions())
    first = await tx.value(select(func.min(_ENTRIES.seq)).where(condition))
    count = await tx.value(select(func.count()).select_from(store.ENTRY).where(condition))
    note = latest["note"] if latest else None
    return Plan(origin_of(tx.tenant_id), size, first or 0, count, filters.any, note, condition)


async def stream(open_transaction: OpenTransaction, chosen: Plan) -> AsyncIterator[bytes]:
    """Yield the export in pages, each read in a short transaction."""
    header = {"regent_export": 1, "origin": chosen.origin, "size": chosen.size, "proofs": chosen.proofs}
    yield json_bytes({**header, "checkpoint": chosen.checkpoint}) + b"\n"
    after, count = -1, 0
    while True:
        async with open_transaction() as tx:
            rows = await _page(tx, chosen, after)
            lines = await _lines(tx, chosen, rows)
        if lines:
            yield b"".join(lines)
        count += len(rows)
        if len(rows) < _PAGE:
            break
        after = rows[-1]["seq"]
    yield json_bytes({"end": True, "entries": count}) + b"\n"


async def _page(tx: Transaction, chosen: Plan, after: int) -> Sequence[Row]:
    statement = select(*_EXPORTED).where(chosen.condition, _ENTRIES.seq > after).order_by(_ENTRIES.seq).limit(_PAGE)
    return await tx.rows(statement)


async def _lines(tx: Transaction, chosen: Plan, rows: Sequence[Row]) -> list[bytes]:
    if not chosen.proofs:
        return [_line(row, {}) for row in rows]
    paths = await proofs.include(tx, [row["seq"] for row in rows], chosen.size)
    return [_line(row, {"proof": [node.hex() for node in path]}) for row, path in zip(rows, paths, strict=True)]


def _line(row: Row, proof: dict[str, Any]) -> bytes:
    told = {
        "seq": row["seq"],
        "leaf_hash": row["leaf_hash"].hex(),
        "body": b64encode(row["body"]).decode(),
        "stream_seq": row["stream_seq"],
        "received_at": row["received_at"],
        "nats_subject": row["nats_subject"],
        "fault": row["fault"],
    }
    return json_bytes({**told, **proof}) + b"\n"
