"""The HTTP door: definitions of every kind, and secrets that go in and never come out."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import StringConstraints

from libs.common.definitions.api import Body, definition_routes
from libs.common.http.door import Door, Tx, permission
from services.catalog import commands

SecretField = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
SecretValue = Annotated[str, StringConstraints(max_length=10_000)]

secrets = Door("/v1", tag="connectors")


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


ROUTERS: list[APIRouter] = [*(definition_routes(kind) for kind in commands.KINDS.values()), secrets]
