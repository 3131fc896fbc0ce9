"""The HTTP door: definitions of every kind, and secrets that go in and never come out."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import StringConstraints

from libs.common.definitions import policies as kept_policies
from libs.common.definitions.answers import document
from libs.common.definitions.api import Body, definition_routes
from libs.common.http.door import Door, IfMatch, Tx, etag, permission
from libs.common.http.json import json_bytes
from libs.common.vocabulary.policies import PublicationPolicy
from services.catalog import commands

SecretField = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
SecretValue = Annotated[str, StringConstraints(max_length=10_000)]

secrets = Door("/v1", tag="connectors")


class ShownPolicy(PublicationPolicy):
    """What the tenant asks of drafts before they are published."""

    revision: int


class Secret(Body):
    """A secret's fields, such as `{"password": "..."}`; not shown again."""

    secret: dict[SecretField, SecretValue]


@secrets.put("/connectors/{id}/secret", status_code=204, dependencies=[permission("secret:write")])
async def set_connector_secret(request: Request, tx: Tx, id: UUID, body: Secret) -> Response:  # noqa: A002
    """Set a connector's secret."""
    await commands.set_secret(tx, request.app.state.runtime.extras["vault"], "connector", id, body.secret)
    return Response(status_code=204)


@secrets.put("/destinations/{id}/secret", status_code=204, dependencies=[permission("secret:write")])
async def set_destination_secret(request: Request, tx: Tx, id: UUID, body: Secret) -> Response:  # noqa: A002
    """Set a destination's secret."""
    await commands.set_secret(tx, request.app.state.runtime.extras["vault"], "destination", id, body.secret)
    return Response(status_code=204)


policies = Door("/v1/policies", tag="policies")


@policies.get("/publication", dependencies=[permission("policy:read")], responses=document(ShownPolicy))
async def show_publication_policy(tx: Tx) -> Response:
    """Show what is asked of drafts before they are published: nothing, unless it was said otherwise."""
    row = await kept_policies.find_policy(tx)
    shown = {**kept_policies.as_policy(row).model_dump(), "revision": row["revision"] if row else 0}
    return Response(json_bytes(shown), headers=etag(shown["revision"]), media_type="application/json")


@policies.put("/publication", dependencies=[permission("policy:write")], responses=document(ShownPolicy))
async def change_publication_policy(tx: Tx, body: PublicationPolicy, revision: IfMatch) -> Response:
    """Change it; the first time against revision 0. Other services follow within moments."""
    await commands.set_policy(tx, revision, body)
    return await show_publication_policy(tx)


ROUTERS: list[APIRouter] = [*(definition_routes(kind) for kind in commands.KINDS.values()), secrets, policies]
