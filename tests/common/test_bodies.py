"""What surrounds a request takes its body whole, also where the application answers without it."""

from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from libs.common.http.middleware import Surroundings


async def refused(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer without a look at the body."""
    await send({"type": "http.response.start", "status": 401, "headers": []})
    await send({"type": "http.response.body", "body": b"no"})


async def exchanged(chunks: list[bytes], limit: int, *more: tuple[bytes, bytes]) -> list[str]:
    """Send a body in chunks; returns what was taken and answered, in order."""
    seen: list[str] = []
    left = list(chunks)

    async def receive() -> Message:
        seen.append("taken")
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Message) -> None:
        seen.append(message["type"])

    headers = [*(more or [(b"transfer-encoding", b"chunked")])]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/x", "headers": headers, "query_string": b""}
    scope["state"] = {}
    await Surroundings(refused, service="test", body_limits={"/v1/x": limit})(scope, receive, send)
    return seen


@pytest.mark.parametrize("limit", [100, 10])
async def test_the_body_is_taken_before_the_answer(limit: int) -> None:
    """All of it, also what is beyond the limit: who is still sending may drop the answer, and so may a gateway."""
    seen = await exchanged([b"x" * 8] * 3, limit)
    assert seen == ["taken"] * 3 + ["http.response.start", "http.response.body"]


async def test_a_body_that_is_announced_too_large_is_taken_before_the_answer() -> None:
    """Whoever says beforehand that it is too large sends it nevertheless, and hears why afterwards."""
    seen = await exchanged([b"x" * 8] * 3, 10, (b"content-length", b"24"))
    assert seen == ["taken"] * 3 + ["http.response.start", "http.response.body"]


async def test_no_end_of_a_body_is_waited_for() -> None:
    """What is taken and forgotten is bounded."""
    seen = await exchanged([bytes(16 * 1024 * 1024)] * 9, 10)
    assert seen == ["taken"] * 4 + ["http.response.start", "http.response.body"]


async def test_a_body_that_is_held_back_is_not_asked_for() -> None:
    """Whoever asks before sending is answered without the body."""
    seen = await exchanged([b"x"], 10, (b"content-length", b"1"), (b"expect", b"100-continue"))
    assert seen == ["http.response.start", "http.response.body"]
