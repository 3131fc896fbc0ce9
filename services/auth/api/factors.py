"""A person's own second factors. What weakens or replaces them asks for the password again."""

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import Field

from libs.common.errors import Forbidden
from libs.common.http.door import Caller, OpenDoor, caller
from libs.common.identity.principal import Principal
from services.auth import totp
from services.auth.admission import Admission
from services.auth.api.shapes import NO_STORE, Body, Name, Password, answer, doorway
from services.auth.commands import factors
from services.auth.doorway import Doorway
from services.auth.store import accounts
from services.auth.store import factors as stored

ROUTER = OpenDoor("/v1/me", tag="factors")
_OWN = [Depends(caller)]
Code = Annotated[str, Field(min_length=6, max_length=20, json_schema_extra={"format": "password"})]


class NewApp(Body):
    """An authenticator app to be."""

    password: Password
    name: Annotated[Name, Field(max_length=60)] = "Authenticator"


class Confirmation(Body):
    """A code that the app shows."""

    code: Code


class Again(Body):
    """The caller's password."""

    password: Password


def enrolment(made: factors.Enrolment, email: str) -> dict[str, Any]:
    """Return what an authenticator app needs; shown once."""
    uri = totp.enrolment_uri(made.secret, email)
    return {"id": made.id, "kind": "totp", "secret": totp.spelled(made.secret), "uri": uri}


@ROUTER.get("/factors", name="list_factors", dependencies=_OWN)
async def listing(request: Request, principal: Caller) -> Response:
    """List the caller's second factors, and how many recovery codes are left."""
    person = person_of(principal)
    async with doorway(request).system() as tx:
        held = await stored.of_person(tx, person.id)
        left = await stored.codes_left(tx, person.id)
    shown = ("id", "kind", "name", "created_at", "confirmed_at")
    items = [{name: one[name] for name in shown} for one in held]
    return answer({"items": items, "recovery_codes_left": left}, headers=NO_STORE)


@ROUTER.post("/factors/totp", status_code=201, name="enrol_totp", dependencies=_OWN)
async def enrol(request: Request, principal: Caller, body: NewApp) -> Response:
    """Begin to add an authenticator app; it counts once a code of it was shown."""
    way, person = own_way(request, principal), person_of(principal)
    email = await proven(way, principal, body.password)
    async with way.system() as tx:
        made = await factors.enrol_totp(tx, way.authority, person, body.name)
    return answer(enrolment(made, email), 201, NO_STORE)


@ROUTER.post("/factors/{id}/confirm", name="confirm_totp", dependencies=_OWN)
async def confirm(request: Request, principal: Caller, id: UUID, body: Confirmation) -> Response:  # noqa: A002
    """Let an authenticator app count; answers recovery codes, shown once, where it is the first factor."""
    way = own_way(request, principal)
    async with way.system() as tx:
        codes = await factors.confirm_totp(tx, way.authority, person_of(principal), id, body.code)
    return answer({"id": id, "recovery_codes": codes}, headers=NO_STORE)


@ROUTER.post("/factors/{id}/remove", status_code=204, name="remove_factor", dependencies=_OWN)
async def remove(request: Request, principal: Caller, id: UUID, body: Again) -> Response:  # noqa: A002
    """Remove a second factor; with the last one the recovery codes go."""
    way = own_way(request, principal)
    await proven(way, principal, body.password)
    async with way.system() as tx:
        await factors.remove(tx, way.authority, person_of(principal), id)
    return Response(status_code=204)


@ROUTER.post("/recovery-codes", status_code=201, name="replace_recovery_codes", dependencies=_OWN)
async def replace_codes(request: Request, principal: Caller, body: Again) -> Response:
    """Make other recovery codes, shown once; the earlier ones end."""
    way = own_way(request, principal)
    await proven(way, principal, body.password)
    async with way.system() as tx:
        codes = await factors.replace_codes(tx, way.authority, person_of(principal))
    return answer({"recovery_codes": codes}, 201, NO_STORE)


def own_way(request: Request, principal: Principal) -> Doorway:
    """Return the way to what is the caller's own, in their name."""
    way = doorway(request)
    return replace(way, context=replace(way.context, actor=principal.subject))


def person_of(principal: Principal) -> factors.Person:
    """Return whose factors a caller may change.

    Raises:
        Forbidden: the caller is no person.
    """
    kind, _, id_ = principal.subject.partition(":")
    if kind != "user":
        raise Forbidden("Only people have second factors.", type="not-a-person")
    return factors.Person(UUID(id_), principal.tenant_id)


async def proven(way: Doorway, principal: Principal, password: str) -> str:
    """Return the caller's address, whose password this is."""
    person = person_of(principal)
    async with way.acting(principal.tenant_id, principal.subject) as tx:
        email: str = (await accounts.find_member(tx, person.id))["email"]
    await Admission(way.database, way.authority, way.context).confirm(email, password)
    return email
