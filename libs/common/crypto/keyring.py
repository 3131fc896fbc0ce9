"""Secrets at rest: AES-256-GCM under a per-tenant data key, itself wrapped by a key-encryption key with an id.

The associated data binds tenant, table, column and row, so a ciphertext moved elsewhere does not open. Destroying a
tenant's wrapped data key shreds its secrets. A missing or malformed ring stops the service; no key is ever invented.
"""

import os
from dataclasses import dataclass
from typing import Self
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.common.crypto.parsing import Unwrap, read_ring

_NONCE = 12
_MARK = b"\x00rs2"
_HEADER = len(_MARK) + 4


class UnreadableSecretError(Exception):
    """A ciphertext does not open under the keys held."""


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A tenant's data key as stored: wrapped under the key-encryption key `key_id`.

    What a key without a version seals does not say so: only what has a data key of its own is sealed like that.
    """

    key_id: str
    wrapped: bytes
    version: int = 0

    @property
    def header(self) -> bytes:
        """Return what begins all that this version seals; nothing where there are no versions."""
        return _MARK + self.version.to_bytes(4) if self.version else b""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a secret is kept; part of what is authenticated."""

    tenant_id: UUID
    table: str
    column: str
    row: str

    def associated_data(self, version: int) -> bytes:
        """Return the place, and the data key's version if it has one, as bytes that no other place shares."""
        place = [str(self.tenant_id), self.table, self.column, self.row]
        return orjson.dumps(["regent-secret-v2", *place, version] if version else ["regent-secret-v1", *place])


def sealing_version(sealed: bytes) -> int:
    """Return the version of the data key that a secret says it is sealed under; 0 where it says none."""
    return int.from_bytes(sealed[len(_MARK) : _HEADER]) if sealed.startswith(_MARK) else 0


class KeyRing:
    """Key-encryption keys by id; new data keys are wrapped under the active one."""

    def __init__(self, active: str, keys: dict[str, bytes]) -> None:
        self.active = active
        self._keys = keys

    @classmethod
    def parse(cls, text: str, unwrap: Unwrap | None = None) -> Self:
        """Read a ring: `{"active": "k1", "keys": {"k1": "<base64 of 32 bytes>"}}`; `unwrap` asks the KMS.

        Raises:
            SettingsError: the ring is malformed; says how, never shows a key.
        """
        return cls(*read_ring(text, unwrap))

    def ids(self) -> frozenset[str]:
        """Return the ids of the keys held."""
        return frozenset(self._keys)

    def contradicts(self, other: "KeyRing") -> list[str]:
        """Return the ids under which the other ring holds another key."""
        return sorted(name for name in self.ids() & other.ids() if self._keys[name] != other._keys[name])  # noqa: SLF001 - the same class

    def adopt(self, other: "KeyRing") -> None:
        """Take over another ring's keys and its choice; keys that it lacks are kept until they are forgotten."""
        self._keys = {**self._keys, **other._keys}  # noqa: SLF001 - the same class
        self.active = other.active

    def forget(self, key_id: str) -> None:
        """Drop a key that nothing needs any more."""
        self._keys = {name: key for name, key in self._keys.items() if name != key_id or name == self.active}

    def new_data_key(self, tenant_id: UUID) -> WrappedKey:
        """Make a data key for a tenant, wrapped under the active key."""
        return self._wrap(tenant_id, AESGCM.generate_key(bit_length=256))

    def rewrap(self, tenant_id: UUID, key: WrappedKey) -> WrappedKey:
        """Wrap a tenant's data key anew under the active key."""
        return self._wrap(tenant_id, self._unwrap(tenant_id, key))

    def seal(self, key: WrappedKey, place: Place, secret: bytes) -> bytes:
        """Encrypt a secret for its place."""
        nonce = os.urandom(_NONCE)
        data_key = self._unwrap(place.tenant_id, key)
        return key.header + nonce + AESGCM(data_key).encrypt(nonce, secret, place.associated_data(key.version))

    def open(self, key: WrappedKey, place: Place, sealed: bytes) -> bytes:
        """Decrypt a secret.

        Raises:
            UnreadableSecretError: another key, another place, or altered bytes.
        """
        data_key, body = self._unwrap(place.tenant_id, key), sealed.removeprefix(key.header)
        try:
            return AESGCM(data_key).decrypt(body[:_NONCE], body[_NONCE:], place.associated_data(key.version))
        except (InvalidTag, ValueError) as error:
            raise UnreadableSecretError(f"{place.table}.{place.column} of row {place.row}") from error

    def holds(self, key_id: str) -> bool:
        """Say whether a key of that id is in the ring."""
        return key_id in self._keys

    def _wrap(self, tenant_id: UUID, data_key: bytes) -> WrappedKey:
        nonce = os.urandom(_NONCE)
        aad = f"regent-data-key-v1:{tenant_id}".encode()
        return WrappedKey(self.active, nonce + AESGCM(self._keys[self.active]).encrypt(nonce, data_key, aad))

    def _unwrap(self, tenant_id: UUID, key: WrappedKey) -> bytes:
        if key.key_id not in self._keys:
            raise UnreadableSecretError(f"the ring holds no key {key.key_id!r}")
        aad = f"regent-data-key-v1:{tenant_id}".encode()
        try:
            return AESGCM(self._keys[key.key_id]).decrypt(key.wrapped[:_NONCE], key.wrapped[_NONCE:], aad)
        except (InvalidTag, ValueError) as error:
            raise UnreadableSecretError(
                f"the data key of tenant {tenant_id} does not open under {key.key_id!r}"
            ) from error
