"""Per-job grants: the runner says which objects a job may read and write, signed with its bus key (Ed25519).

The key is the one that the bus knows the runner by, so nothing more has to be kept or rotated; the text that is signed
begins with a domain of its own, so no other signature of that key can pass for a grant.
"""

import base64
import binascii
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import nkeys
import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from libs.common.errors import Forbidden
from libs.common.events.runner import Grant, ObjectReference

_DOMAIN = b"regent-grant-v1\n"


def _signed_text(tenant_id: UUID, run_id: UUID, phase: str, grant: Grant) -> bytes:
    content: dict[str, Any] = {
        "tenant_id": str(tenant_id),
        "run_id": str(run_id),
        "phase": phase,
        "reads": [item.model_dump(mode="json") for item in grant.reads],
        "writes": grant.writes,
        "expires": grant.expires.isoformat(),
    }
    return _DOMAIN + orjson.dumps(content, option=orjson.OPT_SORT_KEYS)


class GrantSigner:
    """Signs grants with the seed in a file."""

    def __init__(self, seed_file: Path) -> None:
        self._key = nkeys.from_seed(bytearray(seed_file.read_bytes().strip()))

    def grant(
        self,
        tenant_id: UUID,
        run_id: UUID,
        phase: str,
        *,
        reads: tuple[ObjectReference, ...],
        writes: str,
        expires: datetime,
    ) -> Grant:
        """Return a signed grant; `writes` is a key prefix."""
        blank = Grant(reads=reads, writes=writes, expires=expires, signature="")
        signature = self._key.sign(_signed_text(tenant_id, run_id, phase, blank))
        return blank.model_copy(update={"signature": base64.b64encode(signature).decode()})


def require_grant(public_key: str, tenant_id: UUID, run_id: UUID, phase: str, grant: Grant, now: datetime) -> None:
    """Check a grant against the runner's public nkey (`U...`).

    Raises:
        Forbidden: it was not signed by the runner for this job, or has expired.
    """
    text = _signed_text(tenant_id, run_id, phase, grant)
    try:
        _raw_public_key(public_key).verify(base64.b64decode(grant.signature, validate=True), text)
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise Forbidden("The grant's signature does not hold.", type="bad-grant") from error
    if grant.expires <= now:
        raise Forbidden("The grant has expired.", type="bad-grant")


def _raw_public_key(public_key: str) -> Ed25519PublicKey:
    """Read a public nkey: base32 of one prefix byte, 32 key bytes and a two-byte checksum."""
    return Ed25519PublicKey.from_public_bytes(base64.b32decode(public_key)[1:33])
