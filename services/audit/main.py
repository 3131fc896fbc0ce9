"""Audit: every event of every service, in its tenant's Merkle tree, with signed checkpoints outside the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.app import Runtime, Service, serve
from libs.common.crypto.keeper import RingKeeper
from libs.common.crypto.keyring import UnreadableSecretError
from libs.common.crypto.rings import RingWatch
from libs.common.database.pool import Database
from services.audit import api
from services.audit.checkpointer import Checkpointer
from services.audit.handlers import SUBSCRIPTIONS, Ingest
from services.audit.settings import AuditSettings
from services.audit.signing import SIGNING_KEYS, MissingKeyError


@asynccontextmanager
async def workers(runtime: Runtime) -> AsyncIterator[None]:
    """Start the ingest and the checkpointer, each under a database role of its own."""
    settings: AuditSettings = runtime.settings
    writer_url = settings.writer_database_url.get_secret_value()
    signer_url = settings.signer_database_url.get_secret_value()
    async with (
        Database.open(writer_url, service="audit", role="writer", size=2) as writer,
        Database.open(signer_url, service="audit", role="signer", size=2) as signer,
    ):
        signer.after_commit = runtime.database.after_commit
        watch = await RingWatch.open(settings, signer)
        ring_keeper = await RingKeeper.start(signer, watch, SIGNING_KEYS)
        ingest = Ingest(writer, runtime.bus, lock_url=settings.relay_database_url.get_secret_value())
        checkpointer = Checkpointer(
            signer,
            runtime.objects,
            watch.ring,
            seconds=settings.checkpoint_seconds,
            entries=settings.checkpoint_entries,
        )
        try:
            await checkpointer.ensure_key()
        except (MissingKeyError, UnreadableSecretError) as error:
            raise SystemExit(f"audit does not start: {error}") from None
        runtime.checks["trail"] = lambda: ingest.halted is None
        runtime.spawn("keyring", ring_keeper.run())
        runtime.spawn("ingest", ingest.run())
        runtime.spawn("checkpointer", checkpointer.run())
        yield


def declare(settings: AuditSettings) -> Service:
    """Return the service as a value."""
    return Service("audit", settings, api.ROUTERS, SUBSCRIPTIONS, workers)


def main() -> None:
    """Run the service."""
    settings = AuditSettings.load()
    settings.ring("audit")
    serve(declare(settings))


if __name__ == "__main__":
    main()
