import os
from datetime import datetime
from uuid import UUID, uuid5

_NAMESPACE = UUID("7c0f3d6e-8a4b-5e0f-9d3a-2f6b1c5d8e90")

SYSTEM_TENANT = UUID(int=0)
"""The reserved tenant that owns what belongs to none."""


def uuid7(now: datetime) -> UUID:
    """Return a UUID version 7 (RFC 9562): 48 bits of milliseconds, then random bits. Sortable; never a secret."""
    millis = int(now.timestamp() * 1000) & 0xFFFF_FFFF_FFFF
    noise = int.from_bytes(os.urandom(10), "big")
    value = (millis << 80) | (0x7 << 76) | ((noise >> 68) << 64) | (0b10 << 62) | (noise & 0x3FFF_FFFF_FFFF_FFFF)
    return UUID(int=value)


def derived_id(*parts: str) -> UUID:
    """Return the same UUID (version 5) for the same parts: what is done twice is one."""
    return uuid5(_NAMESPACE, "\x1f".join(parts))


def tenant_named(text: str) -> UUID:
    """Read a tenant's id as an operator types it; `system` is the tenant of what belongs to none.

    Raises:
        ValueError: it is no id.
    """
    return SYSTEM_TENANT if text == "system" else UUID(text)
