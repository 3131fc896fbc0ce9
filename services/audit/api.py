"""The HTTP door: read the trail, prove an entry, take it away, check it."""

from base64 import b64encode
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any

import orjson
from fastapi import Depends, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict, FieldProblem, Invalid, NotFound
from libs.common.events.audit import EntriesExported, TreeVerified
from libs.common.http.door import Caller, Door, OpenDoor, Tx, permission, request_context
from libs.common.http.json import json_bytes
from libs.common.http.pages import PageParameters, page_of
from services.audit import commands, export, proofs, signing, store
from services.audit.checkpoint import origin_of
from services.audit.filters import Filters
from services.audit.verification import Verdict

_READ, _EXPORT, _VERIFY = permission("audit:read"), permission("audit:export"), permission("audit:verify")
_ENTRIES, _CHECKPOINTS = store.ENTRY.c, store.CHECKPOINT.c
_LISTED = (
    _ENTRIES.seq, _ENTRIES.event_id, _ENTRIES.type, _ENTRIES.subject, _ENTRIES.actor, _ENTRIES.time,
    _ENTRIES.correlation_id, _ENTRIES.causation_id, _ENTRIES.trace_id, _ENTRIES.received_at, _ENTRIES.fault,
)  # fmt: skip
_MAX_NOTE = 16 * 1024

Size = Annotated[int, Query(ge=1, le=10**18, description="how many entries the tree had")]
ROUTER = Door("/v1/audit", tag="audit")
LONG_ROUTER = OpenDoor("/v1/audit", tag="audit")
ROUTERS = (ROUTER, LONG_ROUTER)


class Held(BaseModel):
    """What a verification is made against."""

    model_config = ConfigDict(extra="forbid")

    checkpoint: str | None = Field(
        default=None, max_length=_MAX_NOTE, description="a signed checkpoint that you kept aside, as text"
    )


def json_response(content: Any) -> Response:
    """Answer with JSON."""
    return Response(json_bytes(content), media_type="application/json")


@ROUTER.get("/entries", dependencies=[_READ])
async def list_entries(tx: Tx, page: PageParameters, filters: Annotated[Filters, Depends()]) -> Response:
    """List entries, the newest first."""
    statement = select(*_LISTED).where(_ENTRIES.tenant_id == tx.tenant_id, *filters.conditions())
    return await page_of(tx, statement, page, [_ENTRIES.seq])


@ROUTER.get("/entries/{seq}", dependencies=[_READ])
async def show_entry(tx: Tx, seq: int, size: Size | None = None) -> Response:
    """Show one entry with its exact bytes and the proof that the tree holds it.

    The proof is against the tree of `size` entries, else the latest checkpoint that covers the entry, else the tree now.
    """
    found = await tx.row(select(store.ENTRY).where(_ENTRIES.tenant_id == tx.tenant_id, _ENTRIES.seq == _bigint(seq)))
    if found is None:
        raise NotFound(f"The trail has no entry {seq}.")
    return json_response({**_entry(found), "proof": await _inclusion(tx, seq, size)})


def _bigint(number: int) -> int:
    return number if 0 <= number <= store.LARGEST else -1


def _entry(row: Row) -> dict[str, Any]:
    shown = {name: row[name] for name in row.keys() if name not in ("tenant_id", "body", "leaf_hash")}  # noqa: SIM118 - a Record iterates over values
    body = bytes(row["body"])
    event = orjson.loads(body) if row["fault"] is None else None
    return {**shown, "event": event, "body": b64encode(body).decode(), "leaf_hash": row["leaf_hash"].hex()}


async def _inclusion(tx: Transaction, seq: int, size: int | None) -> dict[str, Any]:
    now = (await store.head(tx)).frontier.size
    latest = await store.latest_checkpoint(tx, size or now)
    against = size or (latest["size"] if latest and latest["size"] > seq else now)
    if not seq < against <= now:
        raise Invalid("No such proof.", fields=[FieldProblem("size", f"must be from {seq + 1} to {now}")])
    (path,) = await _proven(proofs.include(tx, [seq], against))
    root = await _proven(proofs.root(tx, against))
    note = latest["note"] if latest and latest["size"] == against else None
    return {"size": against, "root": root.hex(), "path": [node.hex() for node in path], "checkpoint": note}


async def _proven(proof: Any) -> Any:
    try:
        return await proof
    except proofs.DamagedTreeError as error:
        raise Conflict(f"The trail is damaged: {error}.", type="trail-damaged") from error


@ROUTER.get("/checkpoints", dependencies=[_READ])
async def list_checkpoints(tx: Tx, page: PageParameters) -> Response:
    """List signed checkpoints, the newest first."""
    shown = select(_CHECKPOINTS.size, _CHECKPOINTS.note, _CHECKPOINTS.signed_at)
    return await page_of(tx, shown.where(_CHECKPOINTS.tenant_id == tx.tenant_id), page, [_CHECKPOINTS.size])


@ROUTER.get("/checkpoints/latest", dependencies=[_READ])
async def latest_checkpoint(tx: Tx) -> Response:
    """Show the latest signed checkpoint: keep its `note` aside, where nobody of ours can change it."""
    latest = await store.latest_checkpoint(tx)
    if latest is None:
        raise NotFound("No checkpoint was signed yet.")
    return json_response({"size": latest["size"], "note": latest["note"], "signed_at": latest["signed_at"]})


@ROUTER.get("/consistency", dependencies=[_READ])
async def show_consistency(tx: Tx, first: Size, second: Size) -> Response:
    """Prove that the tree of `second` entries continues that of `first`."""
    now = (await store.head(tx)).frontier.size
    if not first <= second <= now:
        fault = FieldProblem("second" if second > now else "first", f"first <= second <= {now} must hold")
        raise Invalid("No such proof.", fields=[fault])
    path = await _proven(proofs.continuation(tx, first, second))
    roots = [(await _proven(proofs.root(tx, size))).hex() for size in (first, second)]
    return json_response(
        {
            "first": first,
            "second": second,
            "first_root": roots[0],
            "second_root": roots[1],
            "path": [n.hex() for n in path],
        }
    )


@ROUTER.get("/key", dependencies=[_READ])
async def show_keys(tx: Tx) -> Response:
    """Show the keys that sign, or signed, this tenant's checkpoints, the newest first, in signed-note form."""
    origin = origin_of(tx.tenant_id)
    keys = await signing.public_keys(tx)
    shown = [
        {"key": key.under(origin).text(), "created_at": key.created_at, "retired_at": key.retired_at} for key in keys
    ]
    return json_response({"origin": origin, "keys": shown})


@LONG_ROUTER.get("/export", dependencies=[_EXPORT], response_class=StreamingResponse)
async def export_entries(request: Request, caller: Caller, filters: Annotated[Filters, Depends()]) -> Response:
    """Stream entries as NDJSON for the offline verifier: all of them, or those of a filter, each with its proof."""
    opener = _opener(request, caller)
    async with opener() as tx:
        plan = await export.plan(tx, filters)
        told = EntriesExported(first=plan.first, count=plan.count, purpose=filters.describe())
        await tx.emit("entry.exported", told, entity=tx.tenant_id)
    headers = {"Content-Disposition": f'attachment; filename="audit-{plan.size}.ndjson"', "Cache-Control": "no-store"}
    return StreamingResponse(export.stream(opener, plan), media_type="application/x-ndjson", headers=headers)


@LONG_ROUTER.post("/verify", dependencies=[_VERIFY])
async def verify_trail(request: Request, caller: Caller, held: Held | None = None) -> Response:
    """Check the whole trail, against a checkpoint that you kept aside if you send one."""
    opener = _opener(request, caller)
    note = held.checkpoint if held else None
    async with opener() as tx:
        kept = await commands.trusted(tx, note) if note is not None else None
    verdict = await commands.verify(opener, kept)
    async with opener() as tx:
        told = TreeVerified(size=verdict.size, result=verdict.finding, checkpoint_size=kept.size if kept else None)
        await tx.emit("tree.verified", told, entity=tx.tenant_id)
    return json_response(_verdict(verdict))


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "finding": verdict.finding,
        "good": verdict.good,
        "detail": verdict.detail,
        "size": verdict.size,
        "root": verdict.root.hex(),
        "proven_size": verdict.proven_size,
        "first_bad": verdict.seq,
        "until": verdict.until,
    }


def _opener(request: Request, caller: Caller) -> commands.OpenTransaction:
    """Return what opens short transactions for the caller's tenant, one after another."""
    database = request.app.state.database

    def open_transaction() -> AbstractAsyncContextManager[Transaction]:
        opened: AbstractAsyncContextManager[Transaction] = database.transaction(request_context(request, caller))
        return opened

    return open_transaction
