"""What surrounds a request takes its body whole, also where the application answers without it."""

from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from libs.common.http.middleware import Surroundings


async def refused(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer without a look at the body."""
    await send({"type": "http.response.start", "status": 401, "headers": []})
    await send({"type": "http.response.body", "body": b"no"})


async def exchanged(chunks: list[bytes], limit: int) -> list[str]:
    """Send a body in chunks; returns what was taken and answered, in order."""
    seen: list[str] = []
    left = list(chunks)

    async def receive() -> Message:
        seen.append("taken")
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Message) -> None:
        seen.append(message["type"])

    headers = [(b"transfer-encoding", b"chunked")]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/x", "headers": headers, "query_string": b""}
    await Surroundings(refused, service="test", body_limits={"/v1/x": limit})(scope, receive, send)
    return seen


@pytest.mark.parametrize(("limit", "taken"), [(100, 3), (10, 2)])
async def test_the_body_is_taken_before_the_answer(limit: int, taken: int) -> None:
    """All of it, or as much as may be sent: a gateway that is still sending would drop the answer."""
    seen = await exchanged([b"x" * 8] * 3, limit)
    assert seen == ["taken"] * taken + ["http.response.start", "http.response.body"]
