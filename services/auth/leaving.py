"""Logging out on a client's wish (OpenID Connect RP-Initiated Logout): who is meant, and where the browser goes then."""

from dataclasses import dataclass

from libs.common.database.transaction import Row
from services.auth import asking, protocol
from services.auth.asking import Parameters
from services.auth.commands.browser import Session
from services.auth.desk import as_uuid
from services.auth.doorway import Doorway
from services.auth.hints import Hint, read_hint
from services.auth.protocol import OAuthError
from services.auth.store import grants


@dataclass(frozen=True, slots=True)
class Farewell:
    """A sound wish; `target` is where the browser goes, None: nowhere else."""

    hint: Hint | None
    target: str | None

    def means(self, session: Session) -> bool:
        """Say whether the client has shown that it means this very person; who it is not sure of is asked."""
        return self.hint is not None and self.hint.subject == f"user:{session.user_id}"


async def read_farewell(way: Doorway, issuer: str, query: str) -> Farewell:
    """Read a client's wish.

    Raises:
        OAuthError: the hint is none of ours, or the URI not its client's; nobody is led anywhere then.
    """
    sent = Parameters.read(query)
    if sent.repeated:
        raise OAuthError("invalid_request", "a parameter is repeated")
    hint = await _hint(way, issuer, sent)
    uri = sent.values.get("post_logout_redirect_uri")
    if uri is None:
        return Farewell(hint, None)
    client = await _client(way, sent, hint)
    if not protocol.redirect_fits(uri, client["post_logout_redirect_uris"], public=client["kind"] == "public"):
        raise OAuthError("invalid_request", "the URI is not one that the client registered for logging out")
    state = {"state": sent.values["state"]} if "state" in sent.values else {}
    return Farewell(hint, protocol.with_parameters(uri, state) if state else uri)


async def _hint(way: Doorway, issuer: str, sent: Parameters) -> Hint | None:
    text = sent.values.get("id_token_hint")
    if text is None:
        return None
    async with way.system() as tx:
        hint = await read_hint(tx, text, issuer)
    if hint is None or sent.values.get("client_id", hint.client_id) != hint.client_id:
        raise OAuthError("invalid_request", "the id_token_hint is none of ours, or another client's")
    return hint


async def _client(way: Doorway, sent: Parameters, hint: Hint | None) -> Row:
    named = hint.client_id if hint else asking.client_named(sent)
    async with way.system() as tx:
        client = await grants.find_presented_client(tx, as_uuid(named))
    if client is None:
        raise OAuthError("invalid_request", "there is no such client")
    return client
