"""A registered client, as the core asks about it."""

from typing import Any

from authlib.oauth2.rfc6749 import ClientMixin, InvalidClientError

from libs.common.database.transaction import Row, Transaction
from services.auth import protocol
from services.auth.commands import clients
from services.auth.core.bridge import wait
from services.auth.protocol import REFRESHING
from services.auth.registration import Registration

ASSERTED = "private_key_jwt"
METHODS = ("client_secret_basic", "client_secret_post", ASSERTED, "none")

OWN: Row = {**Registration(kind="public", grant_types=[REFRESHING]).values(), "id": None, "owner_id": None}
"""Our own pages and command line: who logs in there refreshes their login without naming a client."""


class Client(ClientMixin):
    """A client in a transaction of its tenant; `jwks` are the keys that it signs by."""

    def __init__(self, row: Row, tx: Transaction, jwks: dict[str, Any] | None = None) -> None:
        self.row = row
        self.jwks = jwks
        self._tx = tx

    @property
    def is_own(self) -> bool:
        """Whether it is ourselves."""
        return self.row["id"] is None

    def get_client_id(self) -> str:
        """Return its id."""
        return str(self.row["id"])

    def get_default_redirect_uri(self) -> None:
        """Return nothing: a URI that is left out is never guessed."""

    def get_allowed_scope(self, scope: str | None) -> str:
        """Return the scope asked for; without refresh tokens there is no offline access to give.

        Raises:
            OAuthError: it asks for what it may not ask for; to leave that out, as the core would, tells nobody.
        """
        asked = protocol.requested_scope(scope, self.row["scopes"])
        return " ".join(sorted(asked if REFRESHING in self.row["grant_types"] else asked - {"offline_access"}))

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Say whether it registered a URI."""
        return protocol.redirect_fits(redirect_uri, self.row["redirect_uris"], public=self.row["kind"] == "public")

    def check_client_secret(self, client_secret: str) -> bool:
        """Say whether a secret is one of its.

        Raises:
            InvalidClientError: it has none, so that whoever sends one is not this client, whatever else is sent.
        """
        if "client_secret_basic" not in self._methods:
            raise InvalidClientError
        return wait(clients.authenticate(self._tx, self.row, client_secret))

    def check_endpoint_auth_method(self, method: str, _: str) -> bool:
        """Say whether it proves who it is like this; it is the same at every endpoint."""
        return method in self._methods

    def check_response_type(self, _: str) -> bool:
        """Say yes: `authorization.Strict` refuses what is not `code`, in words that quote nothing that was sent."""
        return True

    def check_grant_type(self, grant_type: str) -> bool:
        """Say whether it registered a grant."""
        return grant_type in self.row["grant_types"]

    @property
    def _methods(self) -> tuple[str, ...]:
        if self.row["kind"] == "public":
            return ("none",)
        signs = self.row["jwks"] is not None or self.row["jwks_uri"] is not None
        return (ASSERTED,) if signs else ("client_secret_basic", "client_secret_post")
