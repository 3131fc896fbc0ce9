"""Proof of work: a challenge to solve before the next try, served from here."""

from typing import Annotated, Literal

from fastapi import Query, Request, Response

from libs.common.context import utc_now
from libs.common.http.door import OpenDoor
from services.auth.api.shapes import NO_STORE, answer
from services.auth.authority import authority

ROUTER = OpenDoor("/v1", tag="sessions")


@ROUTER.get("/challenge", name="challenge")
async def challenge(
    request: Request, action: Literal["login"], account: Annotated[str, Query(pattern="^[0-9a-f]{64}$")]
) -> Response:
    """Return a challenge for ALTCHA's widget, for the action and the account that a refusal named; it works once."""
    return answer(authority(request).challenges.make(action, account, utc_now()), headers=NO_STORE)
