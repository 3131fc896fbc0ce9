"""Passkeys: registered by their owner with the password, used in the second step of a login."""

from typing import Annotated, Any

from fastapi import Depends, Request, Response
from pydantic import Field

from libs.common.http.door import Caller, OpenDoor, caller
from services.auth import devices
from services.auth.api.factors import Again, own_way, person_of, proven
from services.auth.api.shapes import NO_STORE, Body, Name, answer, doorway, token_answer
from services.auth.commands import factors
from services.auth.store import factors as stored

OWN = OpenDoor("/v1/me/factors/passkey", tag="factors")
PUBLIC = OpenDoor("/v1/login/second-factor/passkey", tag="sessions")
_OWN = [Depends(caller)]
Token = Annotated[str, Field(min_length=1, max_length=100, json_schema_extra={"format": "password"})]


class NewPasskey(Body):
    """What the browser made of the options, and the token that came with them."""

    token: Token
    credential: dict[str, Any]
    name: Annotated[Name, Field(max_length=60)] = "Passkey"


class Pending(Body):
    """The token that the first step of the login answered."""

    token: Token


class Signed(Pending):
    """What the browser signed."""

    credential: dict[str, Any]


@OWN.post("", name="ask_passkey", dependencies=_OWN)
async def ask(request: Request, principal: Caller, body: Again) -> Response:
    """Return the options for `navigator.credentials.create`, and a token to bring back with its answer."""
    way, person = own_way(request, principal), person_of(principal)
    email = await proven(way, principal, body.password)
    async with way.system() as tx:
        held = await stored.of_person(tx, person.id)
    token, options = way.authority.passkeys.ask_to_register(person.id, email, held, way.context.now)
    return answer({"token": token, "options": options}, headers=NO_STORE)


@OWN.post("/finish", status_code=201, name="add_passkey", dependencies=_OWN)
async def finish(request: Request, principal: Caller, body: NewPasskey) -> Response:
    """Keep a passkey; answers recovery codes, shown once, where it is the first factor."""
    way, person = own_way(request, principal), person_of(principal)
    made = way.authority.passkeys.registered(person.id, body.token, body.credential, way.context.now)
    async with way.system() as tx:
        id_, codes = await factors.add_passkey(tx, way.authority, person, body.name, made)
    return answer({"id": id_, "kind": "passkey", "recovery_codes": codes}, 201, NO_STORE)


@PUBLIC.post("/options", name="login_passkey_options")
async def options(request: Request, body: Pending) -> Response:
    """Return the options for `navigator.credentials.get`; asking again voids what was asked before."""
    return answer(await doorway(request).second_step.ask_to_sign(body.token), headers=NO_STORE)


@PUBLIC.post("", name="login_passkey")
async def login(request: Request, body: Signed) -> Response:
    """Complete a login by a passkey's signature."""
    way = doorway(request)
    passed, tokens = await way.complete_by_passkey(body.token, body.credential)
    response = token_answer(tokens, tenant_id=passed.tenant)
    return devices.remember(response, way.authority.throttle, passed.email, way.context.now)
