"""The routes of one kind of definition; the same for every kind and owner."""

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, create_model
from sqlalchemy import column, select

from libs.common.definitions import answers, deciding, policies, proposals, store
from libs.common.definitions.commands import Definitions
from libs.common.definitions.kinds import Kind
from libs.common.definitions.tables import definition
from libs.common.http.door import Door, IfMatch, Tx, etag, permission
from libs.common.http.json import json_bytes
from libs.common.http.pages import PageParameters, page_of

Waiting = Literal["awaiting_backtest", "proposed"]


class Body(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Publication(Body):
    """From which business date the version is in force; default: always for a first version, today for later ones."""

    effective_from: date | None = None


def definition_routes(kind: Kind) -> Door:
    """Return a router for a kind: create, read, edit, publish, archive, delete, versions, dependents.

    The application's `state.runtime.extras["definitions"]` holds the service's `Definitions`.
    """
    door = Door(f"/v1/{kind.plural.replace('_', '-')}", tag=kind.plural.replace("_", " "))
    _add_writing(door, kind)
    deciding.add_routes(door, kind, _shown)
    _add_reading(door, kind)
    return door


def _definitions(request: Request) -> Definitions:
    found: Definitions = request.app.state.runtime.extras["definitions"]
    return found


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json_bytes(value), status, headers, "application/json")


async def _shown(tx: Tx, kind: Kind, id: UUID, status: int = 200) -> Response:  # noqa: A002
    row = await store.find(tx, kind.name, id)
    last = await proposals.of(tx, id, most=1)
    requires = (await policies.policy_of(tx)).required(kind.name)
    headers = etag(row["revision"])
    if status == 201:  # noqa: PLR2004 - created
        headers["Location"] = f"/v1/{kind.plural.replace('_', '-')}/{id}"
    return _json({**row, "proposal": next(iter(last), None), "requires": requires}, status, headers)


def _draft_model(kind: Kind) -> type[Body]:
    """Return the model of a draft's body: its name and the kind's specification."""
    spec: Any = kind.spec._type  # noqa: SLF001 - the adapter keeps the model that documents the body
    name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
    title = kind.name.title().replace("_", "")
    return create_model(f"{title}Draft", __base__=Body, name=(name, ...), spec=(spec, ...))


def _add_writing(door: Door, kind: Kind) -> None:
    Draft: Any = _draft_model(kind)  # noqa: N806 - a class made at run time
    edit, publish = [permission(f"{kind.name}:write")], [permission(f"{kind.name}:publish")]
    Shown = answers.shown(kind)  # noqa: N806
    one, accepted = answers.document(Shown), answers.document(Shown, 202)

    @door.post(
        "",
        status_code=201,
        dependencies=edit,
        name=f"create_{kind.name}",
        responses=answers.document(Shown, 201),
    )
    async def create(request: Request, tx: Tx, body: Draft) -> Response:
        """Create it as a draft; publishing makes the first version."""
        id = await _definitions(request).create(tx, kind, body.name, body.spec)  # noqa: A001
        return await _shown(tx, kind, id, 201)

    @door.put("/{id}", dependencies=edit, name=f"edit_{kind.name}", responses=one)
    async def replace(request: Request, tx: Tx, id: UUID, body: Draft, revision: IfMatch) -> Response:  # noqa: A002
        """Replace the draft; versions that are published stay as they are."""
        await _definitions(request).edit(tx, kind, id, revision, body.name, body.spec)
        return await _shown(tx, kind, id)

    @door.post("/{id}/publish", dependencies=publish, name=f"publish_{kind.name}", responses=one | accepted)
    async def publish_version(request: Request, tx: Tx, id: UUID, body: Publication) -> Response:  # noqa: A002
        """Publish the draft as the next version, in force from a business date.

        202 where the tenant's policy asks for a backtest or a second person first: it is proposed then.
        """
        published = await _definitions(request).publish(tx, kind, id, body.effective_from)
        return await _shown(tx, kind, id, 200 if published else 202)

    @door.post("/{id}/archive", dependencies=publish, name=f"archive_{kind.name}", responses=one)
    async def archive(request: Request, tx: Tx, id: UUID) -> Response:  # noqa: A002
        """Archive it: nothing new may refer to it, runs that pinned a version go on."""
        await _definitions(request).archive(tx, kind, id)
        return await _shown(tx, kind, id)

    @door.delete("/{id}", status_code=204, dependencies=edit, name=f"delete_{kind.name}")
    async def remove(request: Request, tx: Tx, id: UUID) -> Response:  # noqa: A002
        """Delete it; only what was never published can be deleted."""
        await _definitions(request).delete(tx, kind, id)
        return Response(status_code=204)


def _add_reading(door: Door, kind: Kind) -> None:
    read = [permission(f"{kind.name}:read")]
    items: list[type[BaseModel]] = [answers.DefinitionSummary, answers.DefinitionVersion, answers.DefinitionDependent]
    summaries, versions_, dependents_ = (answers.document(answers.listed(item)) for item in items)

    _add_listing(door, kind, {"dependencies": read, "name": f"list_{kind.plural}", "responses": summaries})

    @door.get("/{id}", dependencies=read, name=f"get_{kind.name}", responses=answers.document(answers.shown(kind)))
    async def one(tx: Tx, id: UUID) -> Response:  # noqa: A002
        """Show it with its draft."""
        return await _shown(tx, kind, id)

    @door.get("/{id}/versions", dependencies=read, name=f"list_{kind.name}_versions", responses=versions_)
    async def versions(tx: Tx, id: UUID) -> Response:  # noqa: A002
        """List its versions, newest first."""
        await store.find(tx, kind.name, id)
        return _json({"items": await store.versions(tx, id), "next": None})

    content_of = answers.document(answers.sealed(kind))

    @door.get("/{id}/versions/{number}", dependencies=read, name=f"get_{kind.name}_version", responses=content_of)
    async def version(request: Request, tx: Tx, id: UUID, number: int) -> Response:  # noqa: A002
        """Return a version's content, byte for byte as it was sealed."""
        await store.find(tx, kind.name, id)
        row = await store.version_of(tx, id, min(number, 2**31 - 1))
        content = await _definitions(request).objects.get(row["object_key"], row["sha256"])
        return Response(content, headers={"ETag": f'"{row["sha256"]}"'}, media_type="application/json")

    @door.get("/{id}/dependents", dependencies=read, name=f"list_{kind.name}_dependents", responses=dependents_)
    async def dependents(request: Request, tx: Tx, id: UUID) -> Response:  # noqa: A002
        """List who refers to it: what a change would reach."""
        await store.find(tx, kind.name, id)
        found = await store.dependents(tx, id, copies=_definitions(request).keeps_copies)
        return _json({"items": found, "next": None})


def _add_listing(door: Door, kind: Kind, route: dict[str, Any]) -> None:
    if not kind.external:

        @door.get("", **route)
        async def listing(
            tx: Tx, page: PageParameters, name: str | None = None, proposal: Waiting | None = None
        ) -> Response:
            """List them, newest first; `name` finds the one of that name, `proposal` those that wait for a decision."""
            return await _listed(tx, kind, page, name, proposal)

        return

    @door.get("", **route)
    async def listing_external(
        tx: Tx,
        page: PageParameters,
        name: str | None = None,
        proposal: Waiting | None = None,
        external_id: Annotated[str | None, Query(min_length=1, max_length=500)] = None,
    ) -> Response:
        """List them, newest first; `name` finds the one of that name, `proposal` those that wait for a decision.

        `external_id` finds those with that id elsewhere.
        """
        return await _listed(tx, kind, page, name, proposal, external_id)


async def _listed(
    tx: Tx,
    kind: Kind,
    page: PageParameters,
    name: str | None,
    proposal: Waiting | None,
    external_id: str | None = None,
) -> Response:
    statement = select(*store.SUMMARY).where(definition.c.kind == kind.name)
    if name is not None:
        statement = statement.where(definition.c.name == name.replace("\x00", ""))
    if proposal is not None:
        statement = statement.where(definition.c.id.in_(proposals.waiting(proposal, tx.context.now)))
    if external_id is not None:
        statement = statement.where(column("external_id") == external_id.replace("\x00", ""))
    return await page_of(tx, statement, page, [definition.c.id])
