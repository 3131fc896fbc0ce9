"""Auth: tenants, people, clients, tokens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from libs.common.app import Runtime, Service, serve
from libs.common.crypto.holdings import DATA_KEYS
from libs.common.crypto.keeper import RingKeeper
from libs.common.crypto.resealing import Resealer
from libs.common.crypto.rings import RingWatch
from libs.common.crypto.vault import Vault
from libs.common.database.pool import Database
from libs.common.outbound import OutboundPolicy
from services.auth.api import ROUTERS
from services.auth.api.metadata import require_sound_metadata
from services.auth.authority import Authority
from services.auth.client_keys import ClientKeys, published
from services.auth.handlers import SUBSCRIPTIONS
from services.auth.keeper import Keeper
from services.auth.mail.running import mailing, require_mail_settings
from services.auth.publisher import Publisher
from services.auth.sealed import SEALED
from services.auth.settings import Settings
from services.auth.upstream.directory import Directory
from services.auth.upstream.web import Web


@asynccontextmanager
async def workers(runtime: Runtime) -> AsyncIterator[None]:
    """Check the key ring, open what only auth has, see that there is a signing key, and keep everybody informed."""
    settings: Settings = runtime.settings
    watch = await RingWatch.open(settings, runtime.database)
    keeper_url = settings.keeper_database_url.get_secret_value()
    async with Database.open(keeper_url, service="auth", role="keeper", size=3) as keeper:
        keeper.after_commit = runtime.database.after_commit
        ring_keeper = await RingKeeper.start(keeper, watch, DATA_KEYS, Resealer(runtime.database, keeper, SEALED))
        async with Authority.open(settings, runtime.database, Vault(watch)) as authority:
            runtime.extras["auth"] = authority
            policy = OutboundPolicy.read(settings.outbound_allow)
            web = Web(policy, settings.identity_provider_seconds)
            runtime.extras["upstream"] = Directory(web)
            runtime.extras["client_keys"] = ClientKeys(published(web))
            runtime.spawn("keyring", ring_keeper.run())
            await _start(runtime, keeper, authority)
            async with mailing(runtime, authority.outbox):
                yield


async def _start(runtime: Runtime, tidier: Database, authority: Authority) -> None:
    settings: Settings = runtime.settings
    lead = timedelta(seconds=settings.key_lead_seconds)
    keeper = Keeper(
        runtime.database,
        tidier,
        authority.signers,
        rotation=timedelta(days=settings.key_rotation_days),
        lead=lead,
    )
    publisher = Publisher(runtime.database, tidier, runtime.bus, authority.throttle)
    runtime.database.after_commit.append(publisher.wake)
    runtime.checks["publisher"] = lambda: publisher.current
    runtime.spawn("keeper", keeper.run())
    runtime.spawn("publisher", publisher.run())


def service(settings: Settings) -> Service:
    """Declare the service."""
    return Service("auth", settings, ROUTERS, SUBSCRIPTIONS, workers)


def main() -> None:
    """Run the service."""
    settings = Settings.load()
    settings.ring("auth")
    require_mail_settings(settings)
    require_sound_metadata(settings.public_url)
    serve(service(settings))


if __name__ == "__main__":
    main()
