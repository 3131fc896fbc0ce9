"""Scheduler: when a report is due."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.app import Runtime, Service, serve
from libs.common.database.pool import Database
from libs.common.definitions.commands import Definitions
from libs.common.definitions.copies import SealedReader
from libs.common.settings import refuse_key_ring
from services.scheduler.api import ROUTERS
from services.scheduler.commands import KINDS
from services.scheduler.handlers import SUBSCRIPTIONS
from services.scheduler.settings import Settings
from services.scheduler.ticker import Ticker


@asynccontextmanager
async def workers(runtime: Runtime) -> AsyncIterator[None]:
    """Open what only the scheduler has: its calendars and its claim loop."""
    settings: Settings = runtime.settings
    definitions = Definitions(KINDS, runtime.objects, SealedReader(runtime.objects))
    runtime.extras["definitions"] = definitions
    url = settings.claimer_database_url.get_secret_value()
    async with Database.open(url, service="scheduler", role="claimer", size=2) as claimer:
        ticker = Ticker(runtime.database, claimer, definitions, size=settings.claim_size)
        runtime.spawn("ticker", ticker.run(settings.tick_seconds))
        yield


def service(settings: Settings) -> Service:
    """Declare the service."""
    return Service("scheduler", settings, ROUTERS, SUBSCRIPTIONS, workers)


def main() -> None:
    """Run the service."""
    refuse_key_ring()
    serve(service(Settings.load()))


if __name__ == "__main__":
    main()
