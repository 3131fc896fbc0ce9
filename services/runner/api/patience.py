"""Waiting for what was just published elsewhere."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import Request, Response

from libs.common.database.pool import Database
from libs.common.database.transaction import Transaction
from libs.common.http.door import request_context
from libs.common.http.idempotency import IdempotentRequest
from libs.common.identity.principal import Principal
from services.runner.commands.pinning import NotYetVisible
from services.runner.library import Library

_PATIENCE_SECONDS = 2.0
_PAUSE_SECONDS = 0.1

Answering = Callable[[Transaction], Awaitable[Response]]


def library_of(request: Request) -> Library:
    """Return the service's reader of definitions."""
    library: Library = request.app.state.runtime.extras["library"]
    return library


async def patiently(request: Request, caller: Principal, start: Answering) -> Response:
    """Try until what the run needs is known, without holding a connection between the tries."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE_SECONDS
    while True:
        try:
            return await _once(request, caller, start)
        except NotYetVisible:
            if loop.time() >= deadline:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


async def _once(request: Request, caller: Principal, start: Answering) -> Response:
    database: Database = request.app.state.database
    async with database.transaction(request_context(request, caller)) as tx:
        once = IdempotentRequest.of(tx, request)
        if once and (kept := await once.replay()):
            return kept
        response = await start(tx)
        if once:
            await once.keep(response)
        return response
