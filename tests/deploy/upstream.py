"""A small service behind the gateway: says what it was asked, streams, and takes bodies."""

import asyncio
import sys
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route


async def echo(request: Request) -> JSONResponse:
    """Return path, headers, size of the body, and which replica answered."""
    size = len(await request.body())
    answer = {"path": request.url.path, "headers": dict(request.headers), "size": size, "replica": sys.argv[1]}
    return JSONResponse(answer, headers={"etag": '"v1"'})


async def ticks(_request: Request) -> StreamingResponse:
    """Stream an event at once and another much later."""

    async def events() -> AsyncIterator[str]:
        yield "data: first\n\n"
        await asyncio.sleep(20)
        yield "data: second\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


app = Starlette(
    routes=[Route("/v1/runs/events", ticks), Route("/{path:path}", echo, methods=["GET", "POST", "PUT"])],
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
