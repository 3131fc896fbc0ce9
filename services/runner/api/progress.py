"""A run's progress as server-sent events; who comes back says what it saw last."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Request, Response
from fastapi.responses import StreamingResponse

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Row
from libs.common.errors import FieldProblem, Invalid
from libs.common.http.door import Caller, OpenDoor, permission, request_context
from libs.common.http.json import json_bytes
from services.runner.domain.states import ENDED
from services.runner.store import parts, runs

_LOOK_SECONDS = 1.0
_SILENCE_SECONDS = 15.0
_MAX_SECONDS = 240.0  # below a token's longest life: who wants more comes back with a fresh one
_MOST_DIGITS = 9

progress = OpenDoor("/v1/runs", tag="runs")


class Followers:
    """Wakes those who follow runs when something was committed here; other processes' commits are polled for."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Let everybody look."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        """Wait for a commit, a second at most."""
        try:
            await asyncio.wait_for(self._changed.wait(), _LOOK_SECONDS)
        except TimeoutError:
            return


_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}


@progress.get("/{run_id}/events", dependencies=[permission("run:read")], responses=_EVENTS, response_class=Response)
async def follow(
    request: Request,
    caller: Caller,
    run_id: UUID,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Stream a run's progress from its beginning, or after `Last-Event-ID`; ends with the run."""
    seen = _position(last_event_id)
    context = request_context(request, caller)
    database: Database = request.app.state.database
    async with database.transaction(context) as tx:
        await runs.find(tx, run_id)
    followers: Followers = request.app.state.runtime.extras["followers"]
    stream = _stream(database, followers, context, run_id, seen)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


def _position(last_event_id: str | None) -> int:
    if last_event_id is None or last_event_id == "":
        return 0
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) <= _MOST_DIGITS):
        raise Invalid("This is no event of ours.", fields=[FieldProblem("Last-Event-ID", "send an id as received")])
    return int(last_event_id)


async def _stream(
    database: Database, followers: Followers, context: Context, run_id: UUID, seen: int
) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    end, spoke = loop.time() + _MAX_SECONDS, loop.time()
    yield b"retry: 1000\n\n"
    while loop.time() < end:
        waiting = asyncio.ensure_future(followers.wait())
        rows, ended = await _news(database, context, run_id, seen)
        for row in rows:
            yield _event(row)
            seen = row["position"]
        if rows:
            spoke = loop.time()
        elif ended:
            waiting.cancel()
            return
        elif loop.time() - spoke > _SILENCE_SECONDS:
            yield b": still here\n\n"
            spoke = loop.time()
        await waiting


async def _news(database: Database, context: Context, run_id: UUID, seen: int) -> tuple[Sequence[Row], bool]:
    async with database.transaction(context) as tx:
        run = await runs.find(tx, run_id)
        return await parts.progress_after(tx, run_id, seen), run["status"] in ENDED


def _event(row: Row) -> bytes:
    data = json_bytes({"at": row["at"], **row["data"]})
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (row["position"], row["name"].encode(), data)
