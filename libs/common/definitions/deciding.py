"""The routes by which proposals are decided; the same for every kind and owner."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from libs.common.definitions import answers, gate, proposals, store
from libs.common.definitions.gate import Decision
from libs.common.definitions.kinds import Kind
from libs.common.http.door import Tx, permission
from libs.common.http.json import json_bytes

Show = Callable[[Any, Kind, UUID], Awaitable[Response]]
_MOST = 100


class Verdict(BaseModel):
    """Why it is decided so; `sha256` names the draft that was looked at, so that no other one is decided."""

    model_config = ConfigDict(extra="forbid")

    comment: str = Field(default="", max_length=2000, pattern=r"^[^\x00]*$")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    def decision(self) -> Decision:
        """Return what was said."""
        return Decision(self.comment, self.sha256)


def add_routes(door: APIRouter, kind: Kind, show: Show) -> None:
    """Add approving, rejecting and withdrawing a kind's proposals, and their history."""
    approve, publish = [permission(f"{kind.name}:approve")], [permission(f"{kind.name}:publish")]
    one = answers.document(answers.shown(kind))
    history = answers.document(answers.listed(answers.ProposalSummary))

    @door.post("/{id}/approve", dependencies=approve, name=f"approve_{kind.name}", responses=one)
    async def approve_proposal(request: Request, tx: Tx, id: UUID, body: Verdict) -> Response:  # noqa: A002
        """Publish what another person proposed; who made the draft may not."""
        await request.app.state.runtime.extras["definitions"].approve(tx, kind, id, body.decision())
        return await show(tx, kind, id)

    @door.post("/{id}/reject", dependencies=approve, name=f"reject_{kind.name}", responses=one)
    async def reject_proposal(tx: Tx, id: UUID, body: Verdict) -> Response:  # noqa: A002
        """Refuse what another person proposed; the draft stays."""
        await gate.reject(tx, kind, id, body.decision())
        return await show(tx, kind, id)

    @door.post("/{id}/withdraw", dependencies=publish, name=f"withdraw_{kind.name}", responses=one)
    async def withdraw_proposal(tx: Tx, id: UUID, body: Verdict) -> Response:  # noqa: A002
        """Take a proposal back; the draft stays."""
        await gate.withdraw(tx, kind, id, body.comment)
        return await show(tx, kind, id)

    @door.get(
        "/{id}/proposals",
        dependencies=[permission(f"{kind.name}:read")],
        name=f"list_{kind.name}_proposals",
        responses=history,
    )
    async def list_proposals(tx: Tx, id: UUID) -> Response:  # noqa: A002
        """List what was proposed of it and what became of that, newest first, the last hundred."""
        await store.find(tx, kind.name, id)
        items = await proposals.of(tx, id, most=_MOST)
        return Response(json_bytes({"items": items, "next": None}), media_type="application/json")
