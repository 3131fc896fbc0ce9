"""Authorization requests as they were sent, read strictly, and what a sound one asks of the person at the browser."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from services.auth import resources
from services.auth.core.requests import Asked
from services.auth.protocol import OAuthError
from services.auth.resources import Target

_MAX_FIELDS = 40
_MAX_HINT = 254
_MAX_QUERY = 16_000


@dataclass(frozen=True, slots=True)
class Parameters:
    """What was sent: the values, and the names that were sent more than once."""

    values: Mapping[str, str]
    repeated: frozenset[str] = frozenset()

    @classmethod
    def read(cls, query: str) -> "Parameters":
        """Read a query string; empty parameters count as left out.

        Raises:
            OAuthError: it cannot be read.
        """
        if len(query) > _MAX_QUERY:
            raise OAuthError("invalid_request", "the request is too long")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
        except ValueError:
            raise OAuthError("invalid_request", "the request cannot be read") from None
        if any("\x00" in name or "\x00" in value for name, value in pairs):
            raise OAuthError("invalid_request", "the request cannot be read")
        names = [name for name, _ in pairs if name != resources.PARAMETER]
        repeated = frozenset(name for name in names if names.count(name) > 1)
        return cls(resources.joined(pairs), repeated)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that may be put to a user."""

    redirect_uri: str
    scope: frozenset[str]
    prompt: frozenset[str]
    max_age: int | None
    target: Target
    login_hint: str = ""
    """The address that the client believes that the person logs in with; it fills a field, no more."""
    hint: str | None = None
    """An ID token that says whom the client means."""
    subject: str | None = None
    """Whom it says, once it was read."""

    @classmethod
    def read(cls, asked: Asked, issuer: str) -> "Ask":
        """Read a request that the core found sound."""
        sent = asked.form
        return cls(
            redirect_uri=sent["redirect_uri"],
            scope=frozenset(asked.scope.split()),
            prompt=frozenset(sent.get("prompt", "").split()),
            max_age=int(sent["max_age"]) if "max_age" in sent else None,
            target=Target.read(sent, issuer),
            login_hint=sent.get("login_hint", "")[:_MAX_HINT],
            hint=sent.get("id_token_hint"),
        )


def client_named(parameters: Parameters) -> str:
    """Return the client that a request names.

    Raises:
        OAuthError: none, or several.
    """
    if "client_id" in parameters.repeated or "client_id" not in parameters.values:
        raise OAuthError("invalid_request", "the request names no client")
    return parameters.values["client_id"]
