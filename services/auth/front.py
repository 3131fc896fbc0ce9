"""Where browsers come with a client's request: who is there, what they allow, and where the answer goes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Literal
from uuid import UUID

from authlib.oauth2 import OAuth2Error

from libs.common.database.transaction import Row, Transaction
from services.auth import asking, authentication
from services.auth.admission import Shown
from services.auth.asking import Ask, Parameters
from services.auth.commands import browser
from services.auth.commands.browser import SESSION_PREFIX, Session
from services.auth.core import bridge
from services.auth.core.authorization import behind, told
from services.auth.core.client import Client
from services.auth.core.requests import Answer, Asked
from services.auth.core.server import Server
from services.auth.desk import as_uuid
from services.auth.doorway import Doorway
from services.auth.hints import read_hint
from services.auth.opaque import Handle, digest
from services.auth.protocol import REQUEST_URI, OAuthError
from services.auth.second_step import Passed
from services.auth.store import accounts, flows
from services.auth.store import grants as stored

OPEN_FOR = timedelta(minutes=10)


class ToldError(Exception):
    """A refusal that the client is told; `location` is where."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


@dataclass(frozen=True, slots=True)
class Opened:
    """A sound request of a known client, as the browser brought it."""

    client: Row
    asked: Asked
    ask: Ask
    query: str
    pushed: bytes | None


@dataclass(frozen=True, slots=True)
class Front:
    """Serves browsers; everything happens in the tenant of the client."""

    way: Doorway
    issuer: str

    async def open(self, query: str) -> Opened:
        """Return the request in a query string.

        Raises:
            OAuthError: the client or the URI is wrong, so nobody but the person at the browser is told.
            ToldError: anything else is wrong, and the client is told.
        """
        sent = Parameters.read(query)
        async with self.way.system() as tx:
            client = await stored.find_presented_client(tx, as_uuid(asking.client_named(sent)))
        if client is None:
            raise OAuthError("invalid_request", "there is no such client")
        async with self.way.acting(client["tenant_id"], "anonymous") as tx:
            if (await accounts.find_tenant(tx))["status"] != "active":
                raise OAuthError("invalid_request", "there is no such client")
            parameters, pushed = await self._pushed(tx, client, sent)
            asked = self._asked(parameters)
            fault = await self._fault(tx, client, asked, pushed=pushed is not None)
        if fault is None:
            opened = Opened(client, asked, Ask.read(asked, self.issuer), query, pushed)
            return await self._hinted(opened)
        raise fault if fault.redirect_uri is None else ToldError(told(fault, self.issuer))

    def _asked(self, sent: Parameters) -> Asked:
        """Return a request as the core reads it."""
        return Asked(f"{self.issuer}/oauth2/authorize", sent.values, method="GET", repeated=sent.repeated)

    async def _fault(self, tx: Transaction, client: Row, asked: Asked, *, pushed: bool) -> OAuth2Error | None:
        """Return what the core finds wrong; it knows a redirect URI where the client is to be told."""
        server = Server(tx, self.way, self.issuer, Client(client, tx), pushed=pushed)
        try:
            await bridge.run(partial(server.get_consent_grant, asked))
        except OAuth2Error as error:
            return error
        return None

    async def _hinted(self, opened: Opened) -> Opened:
        """Return a request with whom its client means, if it says so by an ID token.

        Raises:
            ToldError: the ID token is none of ours, or was another client's.
        """
        if opened.ask.hint is None:
            return opened
        async with self.way.system() as tx:
            hint = await read_hint(tx, opened.ask.hint, self.issuer)
        if hint is None or hint.client_id != str(opened.client["id"]):
            fault = OAuthError("invalid_request", "the id_token_hint is none of ours, or another client's")
            raise ToldError(self.told(opened, fault))
        return replace(opened, ask=replace(opened.ask, subject=hint.subject))

    async def _pushed(self, tx: Transaction, client: Row, sent: Parameters) -> tuple[Parameters, bytes | None]:
        """Return what was pushed in place of what was sent, where the query refers to it."""
        reference = sent.values.get("request_uri")
        if reference is None or not reference.startswith(REQUEST_URI):
            return sent, None
        handle = Handle.read(REQUEST_URI, reference)
        row = None
        if handle is not None and not sent.repeated and handle.tenant_id == tx.tenant_id:
            row = await flows.open_pushed(tx, handle.digest, client["id"], tx.context.now + OPEN_FOR)
        if row is None:
            raise OAuthError("invalid_request_uri", "the pushed request is unknown, used or expired")
        return Parameters(row["parameters"]), digest(reference)

    async def session(self, opened: Opened, cookie: str | None) -> Session | None:
        """Return who is logged in to the client's tenant with a cookie."""
        handle = Handle.read(SESSION_PREFIX, cookie or "")
        if handle is None or handle.tenant_id != opened.client["tenant_id"]:
            return None
        return await self.session_of(handle)

    async def session_of(self, cookie: Handle) -> Session | None:
        """Return the session of a cookie, if its member and tenant are still let in."""
        async with self.way.acting(cookie.tenant_id, "anonymous") as tx:
            return await browser.find(tx, cookie)

    def must_log_in(self, ask: Ask, session: Session | None) -> bool:
        """Say whether the request wants somebody to show who they are, before or again."""
        if session is None or ask.prompt & {"login", "select_account"}:
            return True
        if ask.subject not in (None, f"user:{session.user_id}"):
            return True
        return ask.max_age is not None and self.way.context.now - session.since > timedelta(seconds=ask.max_age)

    def has_waited(self, opened: Opened, session: Session) -> bool:
        """Say whether a request that wants a fresh login was left open too long after it: the login is not fresh now."""
        ask = opened.ask
        if ask.max_age is None and not ask.prompt & {"login", "select_account"}:
            return False
        return self.way.context.now - session.since > OPEN_FOR + timedelta(seconds=ask.max_age or 0)

    async def agreed(self, opened: Opened, session: Session) -> bool:
        """Say whether the user need not be asked: a confidential client has all of it already."""
        if opened.client["kind"] == "public" or "consent" in opened.ask.prompt:
            return False
        async with self.way.acting(opened.client["tenant_id"], "anonymous") as tx:
            ask = opened.ask
            return await flows.consented(
                tx, session.user_id, opened.client["id"], sorted(ask.scope), ask.target.resource
            )

    async def log_in(
        self, opened: Opened, email: str, password: str, shown: Shown, before: str | None
    ) -> tuple[Handle, Session]:
        """Log a person in to the client's tenant, with a cookie of its own; the one from before means nothing any more.

        Raises:
            Unauthenticated, TooManyRequests: as `Doorway.prove`.
        """
        tenant, user = await self.way.prove(email, password, opened.client["tenant_id"], shown)
        return await self.enter(tenant, user, before, authentication.methods())

    async def complete(self, opened: Opened, passed: Passed, before: str | None) -> tuple[Handle, Session]:
        """Log a person in who has passed the second step of a login to the client's tenant.

        Raises:
            OAuthError: it was a login to another tenant.
        """
        if passed.tenant != opened.client["tenant_id"]:
            raise OAuthError("access_denied", "the login was for somebody else", 403)
        return await self.enter(passed.tenant, passed.user, before, passed.amr, passed.upstream_id)

    async def enter(
        self,
        tenant: UUID,
        user: UUID,
        before: str | None,
        amr: Sequence[str] = (),
        upstream_id: UUID | None = None,
    ) -> tuple[Handle, Session]:
        """Open a session for who has proven who they are, by methods; the one from before means nothing any more."""
        await self.log_out(before)
        async with self.way.acting(tenant, f"user:{user}") as tx:
            cookie = await browser.open_session(tx, user, amr, upstream_id)
        session = await self.session_of(cookie)
        if session is None:
            raise OAuthError("access_denied", "the login has ended", 403)
        return cookie, session

    async def log_out(self, cookie: str | None) -> None:
        """End the session of a cookie, if there is one."""
        handle = Handle.read(SESSION_PREFIX, cookie or "")
        if handle is not None:
            async with self.way.acting(handle.tenant_id, "anonymous") as tx:
                await browser.end(tx, handle)

    def require_meant(self, opened: Opened, session: Session) -> None:
        """Refuse somebody else than the client means (OpenID Connect Core, 3.1.2.1).

        Raises:
            ToldError: they have logged in all the same.
        """
        if opened.ask.subject not in (None, f"user:{session.user_id}"):
            raise ToldError(self.told(opened, OAuthError("login_required", "somebody else has logged in")))

    async def decide(self, opened: Opened, session: Session, decision: Literal["allowed", "denied"]) -> str:
        """Do what a user decided; returns where the browser goes.

        Raises:
            OAuthError: a pushed request was answered already.
            ToldError: they are not whom the client means.
        """
        self.require_meant(opened, session)
        client, ask = opened.client, opened.ask
        async with self.way.acting(client["tenant_id"], f"user:{session.user_id}") as tx:
            if opened.pushed is not None and not await flows.use_pushed(tx, opened.pushed):
                raise OAuthError("invalid_request_uri", "the pushed request is unknown, used or expired")
            server = Server(tx, self.way, self.issuer, Client(client, tx), pushed=opened.pushed is not None)
            user = session if decision == "allowed" else None
            location = await bridge.run(partial(_location, server, opened.asked, user))
            await browser.say_authorized(tx, client["id"], session.user_id, ask.scope, decision)
        return behind(ask.redirect_uri, location)

    def told(self, opened: Opened, error: OAuth2Error) -> str:
        """Return where the browser goes to tell the client of an error."""
        error.redirect_uri, error.state = opened.ask.redirect_uri, opened.asked.payload.state
        return told(error, self.issuer)


def _location(server: Server, asked: Asked, user: Session | None) -> str:
    """Return where the core sends the browser with a code, or without one.

    Raises:
        OAuthError: nowhere.
    """
    grant = server.get_authorization_grant(asked)
    answer: Answer = server.create_authorization_response(asked, user, grant)
    if answer.location is None:
        raise OAuthError("invalid_request", "the request is not one that can be answered")
    return answer.location


def after_login(opened: Opened) -> Opened:
    """Return a request whose wish for a login has been met; whom the client means still counts."""
    ask = replace(opened.ask, prompt=opened.ask.prompt - {"login", "select_account"}, max_age=None)
    return replace(opened, ask=ask)
