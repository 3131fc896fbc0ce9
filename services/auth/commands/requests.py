"""Pushed authorization requests (RFC 9126): the client's own words, which the browser only refers to."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from libs.common.database.transaction import Transaction
from services.auth.opaque import Handle
from services.auth.protocol import REQUEST_URI
from services.auth.store import flows

LIFE = timedelta(seconds=60)
PUSHED = (
    "client_id", "response_type", "response_mode", "redirect_uri", "scope", "state", "nonce", "prompt", "max_age",
    "code_challenge", "code_challenge_method", "dpop_jkt", "resource",
    "id_token_hint", "login_hint",
)  # fmt: skip


async def push(tx: Transaction, client_id: UUID, parameters: Mapping[str, str]) -> str:
    """Keep a checked request for a minute; returns the `request_uri` that stands for it."""
    reference = Handle.make(REQUEST_URI, tx.tenant_id)
    await flows.add_pushed(tx, reference.digest, client_id, parameters, tx.context.now + LIFE)
    return reference.text
