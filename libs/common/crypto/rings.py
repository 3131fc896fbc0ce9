"""Where a service's key ring comes from, and how the service follows it without a restart."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Self

import structlog
from pydantic import Field, SecretStr

from libs.common.context import Context, utc_now
from libs.common.crypto.canaries import canary_faults, mark_active
from libs.common.crypto.keyring import KeyRing
from libs.common.crypto.kms import Kms
from libs.common.crypto.parsing import bad_ring
from libs.common.database.pool import Database
from libs.common.events.keyring import KeyRingChanged
from libs.common.ids import SYSTEM_TENANT
from libs.common.settings import FromEnvironment, Settings, SettingsError

_LOG = structlog.get_logger(__name__)


class KmsSettings(FromEnvironment):
    """A KMS with the API of AWS KMS, where the ring's keys are wrapped by one."""

    kms_endpoint: str | None = Field(
        default=None,
        description="URL of the KMS that wraps the ring's keys, such as https://kms.eu-central-1.amazonaws.com",
    )
    kms_region: str = Field(default="eu-central-1", description="the KMS's region")
    kms_access_key_id: str | None = Field(default=None, description="who asks the KMS")
    kms_secret_access_key: SecretStr | None = Field(
        default=None, description="what requests to the KMS are signed with"
    )
    kms_session_token: SecretStr | None = Field(default=None, description="token of temporary credentials for the KMS")

    def kms(self) -> Kms | None:
        """Return the KMS, if there is one.

        Raises:
            SettingsError: it is named, but not who asks it.
        """
        if self.kms_endpoint is None:
            return None
        if self.kms_access_key_id is None or self.kms_secret_access_key is None:
            raise SettingsError("configuration: REGENT_KMS_ACCESS_KEY_ID or REGENT_KMS_SECRET_ACCESS_KEY is not set")
        secret = self.kms_secret_access_key.get_secret_value()
        token = self.kms_session_token.get_secret_value() if self.kms_session_token else None
        return Kms(self.kms_endpoint, self.kms_region, self.kms_access_key_id, secret, token)

    def open_ring(self, text: str, service: str) -> KeyRing:
        """Read a ring, its wrapped keys opened by the KMS. Waits for the network: not for an event loop.

        Raises:
            SettingsError: the ring is malformed, or the KMS does not open a key; never shows one.
        """
        kms = self.kms()
        return KeyRing.parse(text, kms.opener(service) if kms else None)


class KeyringSettings(KmsSettings, Settings):
    """What a service that keeps secrets needs beside the common settings."""

    keyring: SecretStr = Field(
        description='key ring: {"active": id, "keys": {id: base64 of 32 bytes, or {"kms": key, "wrapped": base64}}}'
    )
    keyring_file: Path | None = Field(
        default=None, description="file that holds the key ring; followed while the service runs"
    )

    def ring(self, service: str) -> KeyRing:
        """Read the ring that the service starts with; see `open_ring`.

        Raises:
            SettingsError: it is malformed, or the KMS does not open a key.
        """
        return self.open_ring(self.keyring.get_secret_value(), service)


class RingWatch:
    """The ring in use. A new version of its file is taken over if it is sound; a bad one is refused, loudly."""

    def __init__(self, ring: KeyRing, settings: KeyringSettings, database: Database) -> None:
        self.ring = ring
        self._settings = settings
        self._database = database
        self._seen = settings.keyring.get_secret_value()
        self.listed = ring.ids()
        """The ids that the file names now; the ring may hold more until nothing needs them."""

    @classmethod
    async def open(cls, settings: KeyringSettings, database: Database) -> Self:
        """Read the ring and compare it with what it sealed before.

        Raises:
            SettingsError: the ring is malformed, or a key of it is not the one that sealed what is stored.
        """
        ring = await asyncio.to_thread(settings.ring, database.service)
        watch = cls(ring, settings, database)
        await watch.mark(ring, utc_now())
        return watch

    async def refresh(self) -> bool:
        """Take over the file's ring if it changed; returns whether it did."""
        text = await self._changed()
        if text is None:
            return False
        self._seen = text
        try:
            fresh = await asyncio.to_thread(self._settings.open_ring, text, self._database.service)
            self._require_same(fresh)
            await self.mark(fresh, utc_now())
        except SettingsError as error:
            _LOG.error("keyring.refused", reason=str(error))
            return False
        self.ring.adopt(fresh)
        self.listed = fresh.ids()
        _LOG.info("keyring.followed", active=fresh.active, keys=sorted(self.listed))
        return True

    async def mark(self, ring: KeyRing, now: datetime) -> None:
        """Check the ring's keys against what they sealed before; announce a key that became active.

        Raises:
            SettingsError: names the keys that are others than before.
        """
        async with self._database.transaction(Context(SYSTEM_TENANT, f"service:{self._database.service}", now)) as tx:
            faults = await canary_faults(tx.connection, ring)
            if faults:
                raise bad_ring(f"holds another key than the one that sealed the stored secrets: {', '.join(faults)}")
            if await mark_active(tx.connection, ring):
                changed = KeyRingChanged(key_id=ring.active)
                await tx.emit("keyring.activated", changed, entity=f"keyring:{tx.service}")

    async def _changed(self) -> str | None:
        file = self._settings.keyring_file
        if file is None:
            return None
        try:
            text = (await asyncio.to_thread(file.read_text, encoding="utf-8")).strip()
        except (OSError, ValueError) as error:
            _LOG.error("keyring.unreadable", file=str(file), error=repr(error))
            return None
        return None if text == self._seen else text

    def _require_same(self, fresh: KeyRing) -> None:
        other = self.ring.contradicts(fresh)
        if other:
            raise bad_ring(f"changed the key of a known id: {', '.join(other)}")
