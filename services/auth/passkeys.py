"""Passkeys as a second factor (WebAuthn): what a browser is asked, and what is believed of its answers."""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, options_to_json_dict
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import PublicKeyCredentialDescriptor

from libs.common.database.transaction import Row

LIFE = timedelta(minutes=5)
_MALFORMED = (WebAuthnException, ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True, slots=True)
class Registered:
    """A passkey as it is kept; its public key is in COSE form."""

    credential: bytes
    public_key: bytes
    sign_count: int


class Passkeys:
    """Asks and checks for one site, under a key of its own."""

    def __init__(self, pepper: bytes, public_url: str) -> None:
        self._key = hmac.digest(pepper, b"passkey", "sha256")
        parts = urlsplit(public_url)
        self._site, self._origin = parts.hostname or "", f"{parts.scheme}://{parts.netloc}"

    def ask_to_register(self, user: UUID, email: str, held: Sequence[Row], now: datetime) -> tuple[str, dict[str, Any]]:
        """Return a token to bring back, and the options for `navigator.credentials.create`."""
        token = f"{secrets.token_urlsafe(24)}.{int((now + LIFE).timestamp())}"
        options = generate_registration_options(
            rp_id=self._site,
            rp_name="Regent",
            user_name=email,
            user_id=user.bytes,
            challenge=self._challenge(user, token),
            exclude_credentials=_descriptors(held),
        )
        return token, options_to_json_dict(options)

    def registered(self, user: UUID, token: str, credential: dict[str, Any], now: datetime) -> Registered | None:
        """Return the passkey that a browser made, or None where the answer is not to what was asked, or too late."""
        expires = token.rpartition(".")[2]
        if not (expires.isascii() and expires.isdigit()) or int(expires) <= now.timestamp():
            return None
        try:
            made = verify_registration_response(
                credential=credential,
                expected_challenge=self._challenge(user, token),
                expected_rp_id=self._site,
                expected_origin=self._origin,
            )
        except _MALFORMED:
            return None
        return Registered(made.credential_id, made.credential_public_key, made.sign_count)

    def ask_to_sign(self, challenge: bytes, held: Sequence[Row]) -> dict[str, Any]:
        """Return the options for `navigator.credentials.get`."""
        options = generate_authentication_options(
            rp_id=self._site, challenge=challenge, allow_credentials=_descriptors(held)
        )
        return dict(options_to_json_dict(options))

    def sign_count(self, challenge: bytes, credential: dict[str, Any], factor: Row) -> int | None:
        """Return the passkey's new counter where it signed the challenge, or None."""
        try:
            return verify_authentication_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self._site,
                expected_origin=self._origin,
                credential_public_key=factor["public_key"],
                credential_current_sign_count=factor["sign_count"],
            ).new_sign_count
        except _MALFORMED:
            return None

    def _challenge(self, user: UUID, token: str) -> bytes:
        return hmac.digest(self._key, f"{user}:{token}".encode("utf-8", "surrogatepass"), "sha256")


def named(credential: dict[str, Any]) -> bytes | None:
    """Return the id of the credential that a browser's answer names."""
    try:
        return base64url_to_bytes(credential["rawId"])
    except _MALFORMED:
        return None


def _descriptors(held: Sequence[Row]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=one["credential"]) for one in held if one["kind"] == "passkey"]
