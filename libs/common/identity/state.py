"""What every process knows of keys, revocations and suspended tenants.

Auth alone writes it, to a key-value bucket; each process reads the whole bucket before it serves and more than
twice a second after. No consumer is needed, a lost message is impossible, and a revocation arrives within a second.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from nats.errors import Error as NatsError

from libs.common.bus.connection import Bus
from libs.common.bus.fetching import cancelled
from libs.common.bus.topology import API_PREFIX, IDENTITY_STREAM, IDENTITY_SUBJECTS

_LOG = structlog.get_logger(__name__)
_PREFIX = IDENTITY_SUBJECTS.removesuffix(">")
_INTERVAL = 0.4
_TIMEOUT = 3.0

TRUST_SECONDS = 30.0
"""How long writes are allowed on a state that could not be refreshed."""
LIFETIME_SECONDS = 300.0
"""The longest life of an access token: on a state older than this everything is refused."""


class SnapshotError(Exception):
    """The bucket could not be read."""


@dataclass(slots=True)
class IdentityState:
    """Signing keys by id; revoked grants; suspended tenants; nonces. `fresh_at` is a monotonic clock's reading."""

    keys: dict[str, ECKey] = field(default_factory=dict)
    revoked: frozenset[UUID] = frozenset()
    suspended: frozenset[UUID] = frozenset()
    nonces: tuple[str, ...] = ()
    """What proofs of possession may carry (RFC 9449, 9), the one to give out first; the same at every service."""
    fresh_at: float | None = None
    version: int = 0
    _published: dict[str, Any] = field(default_factory=dict)

    def age(self) -> float:
        """Return the seconds since the last good reading; infinite before the first."""
        return float("inf") if self.fresh_at is None else time.monotonic() - self.fresh_at

    @property
    def primed(self) -> bool:
        """Whether a snapshot was ever read and holds a key."""
        return self.fresh_at is not None and bool(self.keys)

    def replace(self, entries: dict[str, Any]) -> None:
        """Take a whole snapshot: `key.<kid>`, `revoked.<grant>`, `tenant.<id>`, `nonces` → value."""
        self.nonces = tuple(entries.get("nonces", {}).get("proofs", ()))
        keys = {name[4:]: value for name, value in entries.items() if name.startswith("key.") and "jwk" in value}
        revoked = _ids(name[8:] for name in entries if name.startswith("revoked."))
        suspended = _ids(
            name[7:]
            for name, value in entries.items()
            if name.startswith("tenant.") and value.get("status") == "suspended"
        )
        if keys != self._published:
            self._published = keys
            imported = {kid: _key(value["jwk"]) for kid, value in keys.items()}
            self.keys = {kid: key for kid, key in imported.items() if key is not None}
            self.version += 1
        if (revoked, suspended) != (self.revoked, self.suspended):
            self.revoked, self.suspended = revoked, suspended
            self.version += 1
        self.fresh_at = time.monotonic()


def _key(jwk: Any) -> ECKey | None:
    """Read a public key; one that cannot be read verifies nothing."""
    try:
        return ECKey.import_key(jwk)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        _LOG.error("identity.bad_key", error=repr(error))
        return None


def _ids(names: Iterable[str]) -> frozenset[UUID]:
    """Return the UUIDs among names."""
    found = set()
    for name in names:
        with contextlib.suppress(ValueError):
            found.add(UUID(name))
    return frozenset(found)


async def keep_fresh(state: IdentityState, bus: Bus) -> None:
    """Refresh the state until cancelled; a lost bus leaves it to age."""
    while not cancelled():
        try:
            state.replace(await read_snapshot(bus))
        except (SnapshotError, NatsError, OSError, TimeoutError) as error:
            _LOG.warning("identity.stale", age=state.age(), error=repr(error))
        await asyncio.sleep(_INTERVAL)


async def read_snapshot(bus: Bus) -> dict[str, Any]:
    """Read the bucket's values, one of each name, by one direct get (`multi_last` answers no more than 1,024).

    Raises:
        SnapshotError: the answer is incomplete or an error.
    """
    inbox = bus.client.new_inbox()
    subscription = await bus.client.subscribe(inbox)
    try:
        request = orjson.dumps({"seq": 1, "next_by_subj": IDENTITY_SUBJECTS, "batch": 100_000})
        await bus.client.publish(f"{API_PREFIX}.DIRECT.GET.{IDENTITY_STREAM}", request, reply=inbox)
        return await _collect(subscription)
    finally:
        await subscription.unsubscribe()


async def _collect(subscription: Any) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    while True:
        message = await subscription.next_msg(timeout=_TIMEOUT)
        headers = message.headers or {}
        status = headers.get("Status")
        if status in ("204", "404"):  # end of batch; an empty bucket
            return entries
        if status is not None:
            raise SnapshotError(f"{status} {headers.get('Description', '')}")
        if message.data and "KV-Operation" not in headers:
            entries[headers["Nats-Subject"].removeprefix(_PREFIX)] = _value(message.data)


def _value(data: bytes) -> dict[str, Any]:
    """Read an entry's value; one that cannot be read says nothing, but a revocation counts by its name alone."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) else {}
