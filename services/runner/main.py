"""The runner: from source to destination, step by step, every record accounted for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.app import Runtime, Service, serve
from libs.common.bus.work import Early
from libs.common.context import utc_now
from libs.common.database.pool import Database
from libs.common.identity.grants import GrantSigner
from libs.common.objects import Objects
from libs.common.settings import refuse_key_ring
from services.runner.api import ROUTERS
from services.runner.api.progress import Followers
from services.runner.commands.granting import on_try_asked
from services.runner.engines.workshop import workshop
from services.runner.handlers import SUBSCRIPTIONS
from services.runner.library import Library
from services.runner.settings import Roots, RunnerSettings
from services.runner.steps.executor import Executor
from services.runner.steps.job import Tools
from services.runner.steps.leases import Leases
from services.runner.steps.sweeper import Sweeper
from services.runner.steps.workspace import Workspaces


@asynccontextmanager
async def workers(runtime: Runtime) -> AsyncIterator[None]:
    """Start the workers and the sweeper; at the end their runs go back to the queue."""
    settings: RunnerSettings = runtime.settings
    library = Library(runtime.objects)
    workspaces = Workspaces(runtime.objects, settings.scratch_directory())
    workspaces.prepare()
    followers = Followers()
    runtime.database.after_commit.append(followers.wake)
    runtime.extras.update(library=library, followers=followers, scratch=workspaces.home)
    url = settings.reaper_database_url.get_secret_value()
    async with (
        Database.open(url, service="runner", role="reaper", size=1) as reaper,
        workshop(settings.slots * 2) as jobs,
    ):
        tools = Tools(
            settings=settings,
            library=library,
            jobs=jobs,
            signer=GrantSigner(settings.nkey_seed_file),
            leases=Leases(runtime.bus),
            policy=settings.outbound_policy(),
            sources=Roots.load(settings.source_roots, settings.data),
            destinations=Roots.load(settings.destination_roots, settings.data),
            now=utc_now,
        )
        executor = Executor(runtime.database, tools, workspaces)
        runtime.extras.update(executor=executor, jobs=jobs)
        runtime.queues["run"], runtime.slots = executor.handle, settings.slots
        runtime.early["run"] = Early(executor.take, executor.work)
        runtime.spawn("sweeper", Sweeper(reaper, runtime.database, executor, workspaces).run())
        try:
            yield
        finally:
            await executor.close()
            await workspaces.close()


def declare(settings: RunnerSettings) -> Service:
    """Return the service as a value."""
    lending = on_try_asked(Library(Objects(settings.objects)), GrantSigner(settings.nkey_seed_file))
    subscriptions = {**SUBSCRIPTIONS, "evt.*.validator.try.asked": lending}
    return Service("runner", settings, ROUTERS, subscriptions, workers)


def main() -> None:
    """Run the service."""
    refuse_key_ring()
    serve(declare(RunnerSettings.load()))


if __name__ == "__main__":
    main()
