"""What exceptions have in common: hashes of a rule and the values that it refused. Pure."""

import hashlib
from collections.abc import Iterator, Mapping
from uuid import UUID

NOTHING = UUID(int=0)
"""Stands for all causes of a rule, and for the scope of all of a tenant's exceptions."""


def evidence_of(rule_id: str, fields: str) -> UUID:
    """Return the hash of a rule and of the offending values, as the JSON text that the engine wrote.

    The jail computes the same: the first half of the SHA-256 of both with a unit separator between.
    """
    return UUID(hashlib.sha256(f"{rule_id}\x1f{fields}".encode()).hexdigest()[:32])


def term_of(field: str, value: str) -> int:
    """Return the hash by which exceptions with a value in a field are found: 64 bits, signed."""
    digest = hashlib.sha256(f"{field}\x1f{value}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


def terms_of(fields: Mapping[str, str | None]) -> Iterator[int]:
    """Yield the hashes of all values of an exception."""
    return (term_of(field, value) for field, value in fields.items() if value is not None)
