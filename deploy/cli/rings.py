"""Key rings of this machine: the files that the launcher keeps in REGENT_DATA, and what the databases say of them."""

import base64
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from deploy.cli.local import database_of
from deploy.local.configuration import Configuration
from deploy.local.files import write_secret
from libs.common.context import Context, utc_now
from libs.common.crypto.holdings import DATA_KEYS, Holding, in_use
from libs.common.crypto.keyring import KeyRing
from libs.common.crypto.kms import KmsError, place
from libs.common.crypto.parsing import KEY_BYTES
from libs.common.crypto.rings import KmsSettings
from libs.common.database.transaction import Transaction
from libs.common.errors import Conflict, Invalid
from libs.common.ids import SYSTEM_TENANT
from libs.common.settings import SettingsError
from services.audit.signing import SIGNING_KEYS

_NUMBERED = re.compile(r"k(\d+)")
_ACTOR = "service:cli"


@dataclass(frozen=True, slots=True)
class Keeping:
    """A service that keeps secrets: what its ring protects, and the role that counts and moves it."""

    service: str
    holding: Holding
    role: str

    @asynccontextmanager
    async def transaction(self, role: str | None = None, tenant: UUID = SYSTEM_TENANT) -> AsyncIterator[Transaction]:
        """Open a transaction of the system tenant under the role that moves keys, or of another or under another."""
        context = Context(tenant, _ACTOR, utc_now())
        async with database_of(self.service, role or self.role) as database, database.transaction(context) as tx:
            yield tx

    async def rows(self) -> dict[str, int]:
        """Return how many rows each key protects."""
        async with self.transaction() as tx:
            return await in_use(tx.connection, self.holding)


KEEPING = (
    Keeping("auth", DATA_KEYS, "keeper"),
    Keeping("catalog", DATA_KEYS, "keeper"),
    Keeping("audit", SIGNING_KEYS, "signer"),
)


@dataclass(frozen=True, slots=True)
class RingFile:
    """One service's ring as it lies on this machine; no method shows a key."""

    service: str
    path: Path

    @classmethod
    def of(cls, service: str) -> "RingFile":
        """Return the ring that the launcher keeps for a service."""
        return cls(service, Configuration.load().data / "secrets" / f"{service}.keyring.json")

    def ring(self) -> KeyRing:
        """Return the ring, its keys opened.

        Raises:
            SettingsError: it cannot be read, or is malformed; says how.
        """
        return self._opened(self._text())

    def add(self, kms_key: str | None) -> str:
        """Add a key that is not active yet; returns its id.

        Raises:
            SettingsError: the ring, or what the KMS is asked with, cannot be used.
        """
        key_id = next_id(self.ring().ids())
        self._change(lambda ring: ring["keys"].update({key_id: new_key(self.service, key_id, kms_key)}))
        return key_id

    def activate(self, key_id: str) -> None:
        """Make a key of the ring the active one.

        Raises:
            Invalid: the ring holds no such key.
        """
        if not self.ring().holds(key_id):
            raise Invalid(f"The key ring of {self.service} holds no key {key_id!r}; `regent keys generate` adds one.")
        self._change(lambda ring: ring.update(active=key_id))

    def remove(self, key_id: str) -> None:
        """Take a key out of the ring; one that is not there is gone already."""
        self._change(lambda ring: ring["keys"].pop(key_id, None))

    def require_idle(self, key_id: str) -> None:
        """Check that a key is not the active one.

        Raises:
            Conflict: it is.
        """
        if self.ring().active == key_id:
            raise Conflict(f"Key {key_id} is the active key of {self.service}; rotate first.", type="key-in-use")

    def _change(self, change: Callable[[dict[str, Any]], Any]) -> None:
        """Change the file, whole or not at all, and only to a ring that is sound."""
        content: dict[str, Any] = json.loads(self._text())
        change(content)
        text = json.dumps(content)
        self._opened(text)
        write_secret(self.path, text)

    def _opened(self, text: str) -> KeyRing:
        return KmsSettings.load().open_ring(text, self.service)

    def _text(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise SettingsError(f"regent: the key ring {self.path} cannot be read: {error}") from None


class GivenRing(KmsSettings):
    """A key ring that the environment gives, as it gives a service its own."""

    keyring: SecretStr | None = None


def ring_of(service: str) -> KeyRing:
    """Return a service's ring: from `REGENT_KEYRING` or `REGENT_KEYRING_FILE`, else the one that the launcher keeps.

    Raises:
        SettingsError: it cannot be read, or is malformed; says how.
    """
    given = GivenRing.load()
    if given.keyring is None:
        return RingFile.of(service).ring()
    return given.open_ring(given.keyring.get_secret_value(), service)


@dataclass(slots=True)
class StillRing:
    """A ring that stays as it is while a command runs."""

    ring: KeyRing

    async def refresh(self) -> bool:
        """Take nothing over."""
        return False


def next_id(known: frozenset[str]) -> str:
    """Return the next of k1, k2, ...; the newest key has the highest number."""
    numbers = [int(found[1]) for name in known if (found := _NUMBERED.fullmatch(name))]
    return f"k{max(numbers, default=0) + 1}"


def newest(ring: KeyRing) -> str:
    """Return the id of the key that was added last."""
    return max(ring.ids(), key=lambda name: (int(found[1]) if (found := _NUMBERED.fullmatch(name)) else 0, name))


def new_key(service: str, key_id: str, kms_key: str | None) -> Any:
    """Return a fresh key as a ring lists it: as base64, or made and wrapped by the KMS without being shown.

    Raises:
        SettingsError: there is no KMS, or it refuses.
    """
    if kms_key is None:
        return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    kms = KmsSettings.load().kms()
    if kms is None:
        raise SettingsError("configuration: REGENT_KMS_ENDPOINT is not set, so no KMS can make a key")
    try:
        wrapped = kms.generate(kms_key, place(service, key_id))
    except KmsError as error:
        raise SettingsError(f"regent: the KMS makes no key: {error}") from None
    return {"kms": kms_key, "wrapped": base64.b64encode(wrapped).decode()}


def fresh_ring(service: str, kms_key: str | None) -> str:
    """Return the text of a ring with one new key, for a secret store."""
    return json.dumps({"active": "k1", "keys": {"k1": new_key(service, "k1", kms_key)}})
