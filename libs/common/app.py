"""One service as a process: settings → logs and traces → database → bus → identity → workers → server."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import structlog
import uvicorn
import uvloop
from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from libs.common.bus.connection import Bus, connect
from libs.common.bus.reader import Reader
from libs.common.bus.relay import Relay
from libs.common.bus.subscriptions import Subscriptions
from libs.common.bus.work import Early, Handle, WorkQueue, replay
from libs.common.database.guard import declared_exceptions, require_isolation
from libs.common.database.pool import Database
from libs.common.http import problems
from libs.common.http.middleware import Surroundings
from libs.common.identity.dpop import SeenProofs
from libs.common.identity.state import IdentityState, keep_fresh
from libs.common.identity.verifier import Verifier
from libs.common.migrations import service_folder
from libs.common.objects import Objects
from libs.common.settings import Settings
from libs.common.telemetry.logs import configure_logs
from libs.common.telemetry.traces import configure_traces

_LOG = structlog.get_logger(__name__)
_AGAIN_SECONDS = 5.0


@dataclass(slots=True)
class Runtime:
    """What a running service holds; made once, handed to whoever needs it.

    `checks` say whether the service is ready: true, false, or why not. `queues` maps the service's own queues to what works on them, at most `slots` pokes at
    once, and `early` those of them whose work can be taken in the transaction that brings it.
    """

    settings: Any
    database: Database
    bus: Bus
    objects: Objects
    identity: IdentityState
    tasks: asyncio.TaskGroup
    checks: dict[str, Callable[[], bool | str]] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)
    queues: dict[str, Handle] = field(default_factory=dict)
    early: dict[str, Early] = field(default_factory=dict)
    slots: int = 2

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a worker for as long as the service lives; its failure ends the service."""
        self.tasks.create_task(work, name=name)


@dataclass(frozen=True, slots=True)
class Service:
    """A service as declared by its `main`.

    `workers` opens what only this service has, starts its workers, and closes at the end. `body_limits` maps path
    prefixes to sizes in bytes where the default of 1 MiB is too small.
    """

    name: str
    settings: Settings
    routers: Sequence[APIRouter]
    subscriptions: Subscriptions
    workers: Callable[[Runtime], AbstractAsyncContextManager[None]]
    body_limits: Mapping[str, int] = field(default_factory=dict)


def serve(service: Service) -> None:
    """Run the service until it is told to stop; what ends it otherwise is its last log line."""
    configure_logs(service.name, format=service.settings.log_format, level=service.settings.log_level)
    configure_traces(service.name, service.settings.otlp_endpoint)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(service))
    except Exception:
        _LOG.exception("service.died")
        raise SystemExit(1) from None


async def _serve(service: Service) -> None:
    async with running(service) as runtime:
        app = build_app(service, runtime)
        _forget_what_stays()
        config = uvicorn.Config(
            app,
            host=service.settings.host,
            port=service.settings.listen_port,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # `Surroundings` reads the one hop that counts
            timeout_graceful_shutdown=5,
        )
        _LOG.info("service.listening", port=service.settings.listen_port)
        await uvicorn.Server(config).serve()


def _forget_what_stays() -> None:
    """Spare the garbage collector what lives as long as the process: it would look at all of it again and again.

    A whole collection took tens of milliseconds, a tenth of a busy process's time.
    """
    gc.collect()
    gc.freeze()


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[Runtime]:
    """Open all that the service needs and start its workers; stop them at the end."""
    settings = service.settings
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(_database(service))
        bus = await stack.enter_async_context(
            connect(settings.nats_url, service=service.name, seed_file=settings.nkey_seed_file)
        )
        stop = await stack.enter_async_context(_stoppable_tasks())
        runtime = Runtime(settings, database, bus, Objects(settings.objects), IdentityState(), stop)
        _start_common_workers(service, runtime)
        await stack.enter_async_context(service.workers(runtime))
        queue = WorkQueue(bus, service.name, runtime.queues, slots=runtime.slots, early=runtime.early)
        database.hands = queue
        runtime.spawn("work", queue.run())
        stack.push_async_callback(_cancel, stop)  # before the workers' resources are closed under them
        yield runtime


@asynccontextmanager
async def _stoppable_tasks(again_seconds: float = _AGAIN_SECONDS) -> AsyncIterator[asyncio.TaskGroup]:
    """Yield a task group whose tasks are cancelled when the service ends; who does not hear it is told again."""
    async with asyncio.TaskGroup() as tasks:
        try:
            yield tasks
        finally:
            await _cancel(tasks, again_seconds)


async def _cancel(tasks: asyncio.TaskGroup, again_seconds: float = _AGAIN_SECONDS) -> None:
    running_tasks = set(tasks._tasks)  # noqa: SLF001 - the group has no public way to cancel its tasks
    while running_tasks:
        for task in running_tasks:
            task.cancel()
        # Python 3.11's `wait_for` can lose a cancellation: whoever is still there after a while is told again
        _, running_tasks = await asyncio.wait(running_tasks, timeout=again_seconds)


def _start_common_workers(service: Service, runtime: Runtime) -> None:
    lock_url = service.settings.relay_database_url.get_secret_value()
    relay = Relay(lock_url, runtime.bus, service.name)
    reader = Reader(
        runtime.database, runtime.bus, service=service.name, lock_url=lock_url, subscriptions=service.subscriptions
    )
    runtime.database.after_commit.append(relay.wake)
    runtime.checks["bus"] = lambda: runtime.bus.connected
    runtime.checks["identity"] = lambda: runtime.identity.primed
    runtime.queues["replay"] = replay(reader)
    runtime.spawn("relay", relay.run())
    if service.subscriptions:
        runtime.spawn("reader", reader.run())
    runtime.spawn("identity", keep_fresh(runtime.identity, runtime.bus))


@asynccontextmanager
async def _database(service: Service) -> AsyncIterator[Database]:
    settings = service.settings
    url = settings.database_url.get_secret_value()
    await _wait_for_database(url)
    async with Database.open(
        url,
        service=service.name,
        size=settings.database_pool_size,
        acquire_seconds=settings.database_acquire_seconds,
        transaction_pooler=settings.database_transaction_pooler,
    ) as database:
        async with database.connection() as connection:
            exceptions = declared_exceptions(service_folder(service.name) / "roles.sql")
            await require_isolation(connection, service.name, exceptions)
        yield database


async def _wait_for_database(url: str) -> None:
    """Services start in any order: wait until the database answers, saying so."""
    while True:
        try:
            connection: Any = await asyncpg.connect(url, timeout=5)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError) as error:
            _LOG.warning("database.waiting", error=repr(error))
            await asyncio.sleep(0.5)
        else:
            await connection.close()
            return


def build_app(service: Service, runtime: Runtime) -> FastAPI:
    """Return the ASGI application of a running service."""
    app = describe_app(service.name, service.routers)
    app.state.runtime = runtime
    app.state.database = runtime.database
    app.state.proofs = SeenProofs()
    app.state.verifier = Verifier(runtime.identity, service.settings.public_url)
    app.add_middleware(Surroundings, service=service.name, body_limits=dict(service.body_limits))
    _add_operations(app, runtime)
    return app


def describe_app(name: str, routers: Sequence[APIRouter]) -> FastAPI:
    """Return the application without a runtime: enough to read its OpenAPI description."""
    app = FastAPI(
        title=f"Regent {name}",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # `Surroundings` has ours
    )
    problems.install(app)
    for router in routers:
        app.router.routes.extend(router.routes)  # `include_router` would have each request find its route twice
    return app


def _add_operations(app: FastAPI, runtime: Runtime) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        checks = {name: check() for name, check in runtime.checks.items()}
        ready = all(said is True for said in checks.values())
        return JSONResponse({"ready": ready, "checks": checks}, 200 if ready else 503)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(generate_latest(), media_type=CONTENT_TYPE_LATEST)
