"""Identity providers of a tenant. A provider is looked at before it is saved; its secret is never shown again."""

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import Request, Response
from pydantic import AfterValidator, Field

from libs.common.errors import FieldProblem, Invalid
from libs.common.http.door import Caller, Door, IfMatch, OpenDoor, Tx, etag, permission, request_context
from libs.common.http.idempotency import IdempotentRequest
from libs.common.http.pages import PageParameters, page_of
from services.auth.api.shapes import Body, Name, RoleNames, answer, printable
from services.auth.api.ways import trips
from services.auth.authority import authority
from services.auth.commands import identities, providers
from services.auth.store import providers as stored
from services.auth.store import upstream
from services.auth.store.providers import identity_provider
from services.auth.store.upstream import upstream_identity
from services.auth.upstream.metadata import UnsuitableError
from services.auth.upstream.terms import Terms
from services.auth.upstream.web import UnreachableError

LOOKING = OpenDoor("/v1/identity-providers", tag="identity-providers")
ROUTER = Door("/v1/identity-providers", tag="identity-providers")
_READ, _WRITE = [permission("identity_provider:read")], [permission("identity_provider:write")]


def _one_line(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text or "?" in text or "#" in text:
        raise ValueError("must be a URL without spaces, query and fragment")
    return text


def _printable(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError("must be printable ASCII")
    return text


Secret = Annotated[
    str, Field(min_length=1, max_length=1000, json_schema_extra={"format": "password"}), AfterValidator(_printable)
]
Word = Annotated[str, Field(min_length=1, max_length=200)]
Value = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(printable)]


class Provider(Body):
    """On what terms people come by a provider."""

    name: Annotated[Name, Field(max_length=60, description="stands on the button of the login page")]
    client_id: Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_printable)]
    scopes: list[Word] = Field(default=["openid", "email", "profile"], min_length=1, max_length=20)
    domains: list[Annotated[str, Field(max_length=253)]] = Field(
        default=[], max_length=50, description="whose addresses may become members at their first login"
    )
    provisions: bool = Field(default=False, description="who has no account here becomes a member at their first login")
    roles: RoleNames = Field(default=[], description="what they get then")
    trusts_second_factor: bool = Field(
        default=False, description="where the provider says that it asked for several factors, ours is not asked for"
    )
    acr_values: list[Word] = Field(default=[], max_length=10, description="what in `acr` says so, beside `amr` mfa")
    roles_claim: Value | None = Field(default=None, description="the claim of ID tokens whose values give roles")
    claimed_roles: dict[Value, RoleNames] = Field(
        default={},
        max_length=100,
        description="the roles that each value gives as long as a login names it; never owner",
    )
    enabled: bool = True

    def terms(self) -> Terms:
        """Return the terms asked for."""
        return Terms(**self.model_dump(exclude={"issuer", "client_secret"}))


class NewProvider(Provider):
    """A provider to be: its issuer never changes, since the people that it names are its own."""

    issuer: Annotated[str, Field(min_length=8, max_length=500), AfterValidator(_one_line)]
    client_secret: Secret


class ChangedProvider(Provider):
    """What of a provider can change; without a secret it keeps the one that it has."""

    client_secret: Secret | None = None


@LOOKING.post("", status_code=201, name="create_identity_provider", dependencies=_WRITE)
async def create(request: Request, caller: Caller, body: NewProvider) -> Response:
    """Add a provider; register the answer's `redirect_uri` there."""
    await _looked_at(request, body.issuer)
    async with request.app.state.database.transaction(request_context(request, caller)) as tx:
        once = IdempotentRequest.of(tx, request)
        if once and (kept := await once.replay()):
            return kept
        vault = authority(request).vault
        id_ = await providers.create(tx, vault, caller, body.issuer, body.client_secret, body.terms())
        response = await _shown(request, tx, id_, 201)
        if once:
            await once.keep(response)
        return response


@LOOKING.put("/{id}", name="change_identity_provider", dependencies=_WRITE)
async def change(request: Request, caller: Caller, id: UUID, body: ChangedProvider, revision: IfMatch) -> Response:  # noqa: A002
    """Give a provider other terms; disabling it ends what came of logins by it."""
    context = request_context(request, caller)
    async with request.app.state.database.transaction(context) as tx:
        issuer = (await stored.find(tx, id))["issuer"]
    if body.enabled:
        await _looked_at(request, issuer)
    async with request.app.state.database.transaction(replace(context)) as tx:
        vault = authority(request).vault
        await providers.change(tx, vault, caller, id, revision, body.client_secret, body.terms())
        return await _shown(request, tx, id)


@ROUTER.get("", name="list_identity_providers", dependencies=_READ)
async def listing(tx: Tx, page: PageParameters) -> Response:
    """List the tenant's providers, newest first."""
    return await page_of(tx, stored.PROVIDERS, page, [identity_provider.c.created_at, identity_provider.c.id])


@ROUTER.get("/{id}", name="get_identity_provider", dependencies=_READ)
async def one(request: Request, tx: Tx, id: UUID) -> Response:  # noqa: A002
    """Return a provider, without its secret."""
    return await _shown(request, tx, id)


@ROUTER.delete("/{id}", status_code=204, name="delete_identity_provider", dependencies=_WRITE)
async def remove(tx: Tx, caller: Caller, id: UUID) -> Response:  # noqa: A002
    """Remove a provider with all links to it; what came of logins by it ends."""
    await providers.remove(tx, caller, id)
    return Response(status_code=204)


@ROUTER.get("/{id}/identities", name="list_provider_identities", dependencies=_READ)
async def linked(tx: Tx, id: UUID, page: PageParameters) -> Response:  # noqa: A002
    """List who comes by a provider, the newest link first."""
    await stored.find(tx, id)
    columns = upstream_identity.c
    return await page_of(
        tx, upstream.IDENTITIES.where(columns.provider_id == id), page, [columns.created_at, columns.id]
    )


@ROUTER.post(
    "/{id}/identities/{identity}/unlink", status_code=204, name="unlink_provider_identity", dependencies=_WRITE
)
async def unlink(tx: Tx, id: UUID, identity: UUID) -> Response:  # noqa: A002
    """Remove the link of a user; what came of logins by it ends."""
    await identities.unlink(tx, identity, provider_id=id)
    return Response(status_code=204)


async def _looked_at(request: Request, issuer: str) -> None:
    """Refuse a provider that cannot be used, with what to do about it."""
    way = trips(request)
    try:
        await way.directory.discover(issuer, way.way.context.now)
    except UnsuitableError as error:
        faults = [FieldProblem("/issuer", fault) for fault in error.faults]
        raise Invalid("This identity provider cannot be used.", type="identity-provider", fields=faults) from None
    except UnreachableError as error:
        text = f"its discovery document cannot be read: {error}. Check the address"
        raise Invalid(
            "This identity provider cannot be used.", type="identity-provider", fields=[FieldProblem("/issuer", text)]
        ) from None


async def _shown(request: Request, tx: Tx, id: UUID, status: int = 200) -> Response:  # noqa: A002
    row = await stored.find(tx, id)
    content: dict[str, Any] = {str(column.name): row[column.name] for column in stored.PROVIDER}
    headers = etag(row["revision"])
    if status == 201:  # noqa: PLR2004 - created
        headers["Location"] = f"/v1/identity-providers/{id}"
    return answer({**content, "redirect_uri": trips(request).redirect_uri(id)}, status, headers)
