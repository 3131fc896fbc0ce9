"""Coming and going: the set-up link, login, logout, who am I."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import Field

from libs.common.http.door import Caller, Door, OpenDoor, Tx, caller
from services.auth import devices, domain
from services.auth.admission import Shown
from services.auth.api.factors import Code, enrolment
from services.auth.api.shapes import NO_STORE, Body, Email, Name, Password, answer, doorway, token_answer
from services.auth.commands import grants
from services.auth.password_policy import require_good_password
from services.auth.store import accounts
from services.auth.store import grants as stored

PUBLIC = OpenDoor("/v1", tag="sessions")
OWN = Door("/v1", tag="sessions")

Token = Annotated[str, Field(min_length=1, max_length=100, json_schema_extra={"format": "password"})]


class Login(Body):
    """An address and its password; the tenant where there are several."""

    email: Email
    password: Password
    tenant: UUID | None = None
    challenge: Annotated[
        str | None, Field(max_length=4096, description="the solved challenge, where one was asked for")
    ] = None


class SecondFactor(Body):
    """The token that the first step answered, and a code."""

    token: Token
    code: Code


class Enrol(Body):
    """The token that the first step answered, and a name for the app."""

    token: Token
    name: Annotated[Name, Field(max_length=60)] = "Authenticator"


class Setup(Body):
    """The one-time link's token, the first tenant and its owner."""

    token: Password
    tenant_name: Name
    email: Email
    name: Name
    password: Password


@PUBLIC.post("/login", name="login")
async def login(request: Request, body: Login) -> Response:
    """Log in; the answer is the same for a wrong password and an unknown address."""
    email = domain.normalise_email(body.email)
    way = doorway(request)
    shown = Shown(devices.presented(request), body.challenge)
    tokens = await way.login(email, body.password, body.tenant, shown)
    response = token_answer(tokens, tenant_id=tokens.access.tenant_id)
    return devices.remember(response, way.authority.throttle, email, way.context.now)


@PUBLIC.post("/login/second-factor", name="login_second_factor")
async def second_factor(request: Request, body: SecondFactor) -> Response:
    """Complete a login by a code of the authenticator app, or a recovery code; either works once."""
    way = doorway(request)
    passed, tokens = await way.complete(body.token, body.code)
    more: dict[str, Any] = {"recovery_codes": passed.recovery_codes} if passed.recovery_codes else {}
    response = token_answer(tokens, tenant_id=passed.tenant, **more)
    return devices.remember(response, way.authority.throttle, passed.email, way.context.now)


@PUBLIC.post("/login/second-factor/enrol", status_code=201, name="login_enrol")
async def enrol(request: Request, body: Enrol) -> Response:
    """Begin to add an authenticator app on the way in, where the tenant asks for one and there is none."""
    made, email = await doorway(request).second_step.enrol(body.token, body.name)
    return answer(enrolment(made, email), 201, NO_STORE)


@PUBLIC.post("/setup", status_code=201, name="set_up")
async def set_up(request: Request, body: Setup) -> Response:
    """Make the first tenant with its owner; the link works once."""
    email = domain.normalise_email(body.email)
    password = require_good_password(body.password, email=email)
    owner, tokens = await doorway(request).set_up(body.token, body.tenant_name, email, body.name, password)
    return token_answer(tokens, 201, tenant_id=tokens.access.tenant_id, user_id=owner)


@OWN.post("/logout", status_code=204, name="logout", dependencies=[Depends(caller)])
async def logout(tx: Tx, principal: Caller) -> Response:
    """Void the caller's own tokens."""
    await grants.revoke_one(tx, principal.grant_id, "logout")
    return Response(status_code=204)


@OWN.get("/me", name="me", dependencies=[Depends(caller)])
async def me(tx: Tx, principal: Caller) -> Response:
    """Say who asks, where and with which permissions."""
    tenant = await accounts.find_tenant(tx)
    kind, _, id_ = principal.subject.partition(":")
    find = accounts.find_member if kind == "user" else stored.find_client
    row = await find(tx, UUID(id_))
    content: dict[str, Any] = {
        "kind": kind,
        **{name: value for name, value in dict(row).items() if name in ("id", "name", "email", "roles")},
        "tenant": {"id": tenant["tenant_id"], "name": tenant["name"]},
        "grant_id": principal.grant_id,
        "permissions": sorted(principal.permissions),
    }
    return answer(content)
