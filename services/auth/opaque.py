"""Random tokens of 256 bits; what is kept of them is their SHA-256, which is enough for so much entropy."""

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass
from typing import ClassVar, Self
from uuid import UUID

_BYTES = 32
_ID = 16


def new_secret(prefix: str) -> str:
    """Make a secret; the prefix lets scanners find leaked ones."""
    return prefix + secrets.token_urlsafe(_BYTES)


def digest(secret: str) -> bytes:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class NamingToken:
    """A token that names its tenant and the row it belongs to, so that it is found under the tenant's policies."""

    prefix: ClassVar[str]

    tenant_id: UUID
    id: UUID
    text: str

    @classmethod
    def make(cls, tenant_id: UUID, id: UUID) -> Self:  # noqa: A002
        """Make a token for a row."""
        content = tenant_id.bytes + id.bytes + secrets.token_bytes(_BYTES)
        return cls(tenant_id, id, cls.prefix + base64.urlsafe_b64encode(content).decode())

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read a presented token, or None where it cannot be one of ours."""
        try:
            content = base64.b64decode(text.removeprefix(cls.prefix), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        if not text.startswith(cls.prefix) or len(content) != 2 * _ID + _BYTES:
            return None
        return cls(UUID(bytes=content[:_ID]), UUID(bytes=content[_ID : 2 * _ID]), text)

    @property
    def digest(self) -> bytes:
        """What is kept of the token."""
        return digest(self.text)


class RefreshToken(NamingToken):
    """A refresh token; its row is a grant."""

    __slots__ = ()
    prefix = "rt_"

    @property
    def grant_id(self) -> UUID:
        """The grant that it renews."""
        return self.id


@dataclass(frozen=True, slots=True)
class Handle:
    """A secret that names its tenant, so that what it stands for is found under the tenant's policies."""

    tenant_id: UUID
    text: str

    @classmethod
    def make(cls, prefix: str, tenant_id: UUID) -> "Handle":
        """Make a handle; the prefix says what for."""
        content = tenant_id.bytes + secrets.token_bytes(_BYTES)
        return cls(tenant_id, prefix + base64.urlsafe_b64encode(content).decode().rstrip("="))

    @classmethod
    def read(cls, prefix: str, text: str) -> "Handle | None":
        """Read a presented handle, or None where it cannot be one of ours."""
        if not text.startswith(prefix) or len(text) != len(prefix) + 4 * (_ID + _BYTES) // 3:
            return None
        try:
            content = base64.b64decode(text.removeprefix(prefix), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        return cls(UUID(bytes=content[:_ID]), text)

    @property
    def digest(self) -> bytes:
        """What is kept of the handle."""
        return digest(self.text)
