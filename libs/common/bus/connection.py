"""One connection to NATS, under the service's own account."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext

from libs.common.bus.topology import API_PREFIX

_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bus:
    """A connected client and its JetStream context."""

    client: Client
    jetstream: JetStreamContext

    @property
    def connected(self) -> bool:
        """Whether the connection stands now."""
        return self.client.is_connected


@asynccontextmanager
async def connect(url: str, *, service: str, seed_file: Path) -> AsyncIterator[Bus]:
    """Connect, waiting for the server as long as it takes; drained at the end."""
    client = await nats.connect(
        servers=[part.strip() for part in url.split(",")],
        nkeys_seed_str=seed_file.read_text(encoding="utf-8").strip(),
        inbox_prefix=f"_INBOX_{service}".encode(),
        name=f"regent-{service}",
        allow_reconnect=True,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,
        connect_timeout=2,
        error_cb=_report,
    )
    try:
        yield Bus(client, client.jetstream(prefix=API_PREFIX, timeout=5))
    finally:
        # close() can hang when all servers are gone
        try:
            await asyncio.wait_for(client.close(), 2)
        except (TimeoutError, Exception) as error:
            _LOG.info("bus.close_failed", error=repr(error))


async def _report(error: Exception) -> None:
    _LOG.warning("bus.error", error=repr(error))
