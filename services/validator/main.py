"""Validator: judges records behind a wall; the only place where a tenant's rules run."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.app import Runtime, Service, serve
from libs.common.bus.work import Early
from libs.common.database.pool import Database
from libs.common.definitions.commands import Definitions
from libs.common.definitions.copies import SealedReader
from libs.common.settings import refuse_key_ring
from services.validator.api import ROUTERS
from services.validator.commands import KINDS
from services.validator.handlers import SUBSCRIPTIONS
from services.validator.proving import Prover
from services.validator.reaper import reap
from services.validator.settings import Settings
from services.validator.transforms.trying import TransformTrier
from services.validator.transforms.worker import Transformer
from services.validator.tries.worker import Trier
from services.validator.wall import Wall
from services.validator.worker import Worker


@asynccontextmanager
async def workers(runtime: Runtime) -> AsyncIterator[None]:
    """Open what only the validator has: its rules, the jail, and who hands work to it."""
    settings: Settings = runtime.settings
    sealed = SealedReader(runtime.objects)
    url = settings.claimer_database_url.get_secret_value()
    wall = Wall(settings, runtime.database)
    async with (
        wall.runs,
        wall.tries,
        wall.transforms,
        wall.transform_tries,
        Database.open(url, service="validator", role="claimer", size=1) as claimer,
    ):
        runtime.extras["jail"] = wall.tries
        runtime.checks["jail"] = wall.ready
        runtime.spawn("jail", wall.watch())
        runtime.spawn("jail-events", wall.tell())
        kinds = Prover(wall.tries, sealed).proving(KINDS)
        runtime.extras["definitions"] = Definitions(kinds, runtime.objects, sealed)
        worker = Worker(runtime, wall.runs, sealed)
        runtime.queues["try"] = Trier(runtime).work
        runtime.queues["validate"], runtime.slots = worker.work, settings.slots
        runtime.early["validate"] = Early(worker.take, worker.work_on)
        runtime.spawn("reaper", reap(claimer, worker, runtime.database))
        transformer = Transformer(runtime, wall.transforms, sealed)
        runtime.extras["transforms"] = TransformTrier(wall.transform_tries, runtime.extras["definitions"], sealed)
        runtime.queues["transform"] = transformer.take
        runtime.spawn("transforms", transformer.look(claimer))
        try:
            yield
        finally:
            await transformer.close()


def service(settings: Settings) -> Service:
    """Declare the service."""
    return Service("validator", settings, ROUTERS, SUBSCRIPTIONS, workers)


def main() -> None:
    """Run the service."""
    refuse_key_ring()
    settings = Settings.load()
    tempfile.tempdir = str(settings.scratch) if settings.scratch else None  # tries fill no other disk than jobs may
    serve(service(settings))


if __name__ == "__main__":
    main()
