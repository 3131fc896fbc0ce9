"""Catalog: what is reported, from where, as what, to whom."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from libs.common.app import Runtime, Service, serve
from libs.common.crypto.holdings import DATA_KEYS
from libs.common.crypto.keeper import RingKeeper
from libs.common.crypto.resealing import Resealer
from libs.common.crypto.rings import RingWatch
from libs.common.crypto.vault import Vault
from libs.common.database.pool import Database
from libs.common.definitions.commands import Definitions
from libs.common.definitions.copies import SealedReader
from services.catalog.api import ROUTERS
from services.catalog.commands import KINDS
from services.catalog.handlers import SUBSCRIPTIONS
from services.catalog.leases import LeaseDesk
from services.catalog.sealed import SEALED
from services.catalog.settings import Settings

_LOG = structlog.get_logger(__name__)
_LARGE = 64 * 1024 * 1024


@asynccontextmanager
async def workers(runtime: Runtime) -> AsyncIterator[None]:
    """Open what only catalog has: its key ring, its definitions, its vault, its lease desk."""
    settings: Settings = runtime.settings
    if settings.lease_seconds is not None:
        _LOG.warning("settings.renamed", old="REGENT_LEASE_SECONDS", new="REGENT_CREDENTIAL_LEASE_SECONDS")
    watch = await RingWatch.open(settings, runtime.database)
    keeper_url = settings.keeper_database_url.get_secret_value()
    async with Database.open(keeper_url, service="catalog", role="keeper", size=1) as keeper:
        keeper.after_commit = runtime.database.after_commit
        ring_keeper = await RingKeeper.start(keeper, watch, DATA_KEYS, Resealer(runtime.database, keeper, SEALED))
        vault = Vault(watch)
        runtime.extras["vault"] = vault
        runtime.extras["definitions"] = Definitions(KINDS, runtime.objects, SealedReader(runtime.objects))
        runtime.spawn("keyring", ring_keeper.run())
        runtime.spawn("leases", LeaseDesk(runtime, vault).run())
        yield


def service(settings: Settings) -> Service:
    """Declare the service."""
    limits = {"/v1/mappings": _LARGE, "/v1/xsd-sets": _LARGE, "/v1/reports": 4 * 1024 * 1024}
    return Service("catalog", settings, ROUTERS, SUBSCRIPTIONS, workers, limits)


def main() -> None:
    """Run the service."""
    settings = Settings.load()
    settings.ring("catalog")
    serve(service(settings))


if __name__ == "__main__":
    main()
