"""What many of these tests expect of an answer."""

import asyncio
from typing import Any

import httpx

from tests.conformance.server import API, Person


async def bad(answer: httpx.Response, error: str = "invalid_grant", status: int = 400) -> None:
    """Expect an error as RFC 6749, 5.2 words it."""
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert set(answer.json()) <= {"error", "error_description", "error_uri"}
    assert "no-store" in answer.headers["cache-control"]


async def until_refused(person: Person, token: str) -> None:
    """Wait until a token is void everywhere; how soon that is, the tests of revocation say."""
    for _ in range(300):
        if (await person.server.api(token)).status_code == 401:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the token goes on")


async def refused(caller: httpx.AsyncClient, headers: Any, query: str = "") -> None:
    """Expect that what a request presents is no token."""
    answer = await caller.get(API + query, headers=headers)
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"].split(" ")[0] in ("Bearer", "DPoP")
    assert "data" not in answer.json()
    caller.cookies.clear()
