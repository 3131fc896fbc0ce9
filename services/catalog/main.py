"""Catalog: what is reported, from where, as what, to whom."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.app import Runtime, Service, serve
from libs.common.crypto.keyring import KeyRing
from libs.common.crypto.vault import Vault, require_right_keys
from libs.common.definitions.commands import Definitions
from libs.common.definitions.copies import SealedReader
from services.catalog.api import ROUTERS
from services.catalog.commands import KINDS
from services.catalog.handlers import SUBSCRIPTIONS
from services.catalog.leases import LeaseDesk
from services.catalog.settings import Settings

_LARGE = 64 * 1024 * 1024


@asynccontextmanager
async def workers(runtime: Runtime) -> AsyncIterator[None]:
    """Open what only catalog has: its definitions, its vault, its lease desk."""
    ring = KeyRing.parse(runtime.settings.keyring.get_secret_value())
    async with runtime.database.connection() as connection:
        await require_right_keys(connection, ring)
    vault = Vault(ring)
    runtime.extras["vault"] = vault
    runtime.extras["definitions"] = Definitions(KINDS, runtime.objects, SealedReader(runtime.objects))
    runtime.spawn("leases", LeaseDesk(runtime, vault).run())
    yield


def service(settings: Settings) -> Service:
    """Declare the service."""
    limits = {"/v1/mappings": _LARGE, "/v1/xsd-sets": _LARGE, "/v1/reports": 4 * 1024 * 1024}
    return Service("catalog", settings, ROUTERS, SUBSCRIPTIONS, workers, limits)


def main() -> None:
    """Run the service."""
    settings = Settings.load()
    KeyRing.parse(settings.keyring.get_secret_value())
    serve(service(settings))


if __name__ == "__main__":
    main()
