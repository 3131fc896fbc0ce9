"""The broker's side of the wall: who may send how much in, whether the wall holds, and what is told of each job's end."""

import asyncio
import time
from uuid import UUID, uuid4

import structlog
from prometheus_client import Counter, Gauge, Histogram

from libs.common.context import Context, utc_now
from libs.common.database.pool import Database
from libs.common.events.jail import JailKilled, JailRefused
from libs.common.jail import JailError, JobServer
from libs.common.jail.endings import Ending
from libs.common.jail.isolation import LAYERS
from libs.common.jail.shares import Budget, Shares
from services.validator.jail.broker import RULES
from services.validator.jail.transforms import TRANSFORMS
from services.validator.settings import Settings
from services.validator.transforms.trying import TRYING_SLOTS

_LOG = structlog.get_logger(__name__)
_LOOK_SECONDS, _CANARY_SECONDS = 0.2, 60.0
_MOST_UNTOLD = 1000
_SIGSYS = "signal-31"

JOBS = Counter("regent_jail_jobs_total", "Jobs behind the wall, by how they ended", ["kind", "outcome", "code"])
SIGSYS = Counter("regent_jail_sigsys_total", "Jobs killed for a system call that only attacks need", ["kind"])
CPU = Counter("regent_jail_cpu_seconds_total", "Processor time of jobs", ["kind"])
BYTES = Counter("regent_jail_answer_bytes_total", "Bytes of jobs' answers", ["kind"])
WALL = Histogram(
    "regent_jail_wall_seconds", "Time of jobs", ["kind"], buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60, 900)
)
RSS = Histogram(
    "regent_jail_peak_rss_bytes", "Most memory of jobs", ["kind"], buckets=tuple(float(2**n) for n in range(24, 35))
)
LAYER = Gauge("regent_jail_layer", "Whether a layer held the last job", ["layer"])
READY = Gauge("regent_jail_ready", "Whether the canaries were refused at the last look")


class Wall:
    """Ways into one jail: for runs' validations and transforms, and for tries of either, so that none waits for another."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._untold: asyncio.Queue[Ending] = asyncio.Queue(_MOST_UNTOLD)
        hourly = Budget(settings.tenant_cpu_seconds, 3600)
        runs = Shares(settings.slots, max(1, settings.slots - 1), hourly, patient=True)
        by_minute = Budget(settings.tenant_try_cpu_seconds, 60)
        slots = settings.transform_slots
        coded = Shares(slots, max(1, slots - 1), hourly, patient=True)
        self.runs = self._server(settings, runs)
        self.tries = self._server(settings, Shares(settings.tries, settings.tries // 2, by_minute))
        self.transforms = self._server(settings, coded, TRANSFORMS)
        self.transform_tries = self._server(settings, Shares(TRYING_SLOTS, budget=by_minute), TRANSFORMS)
        for server in self._all:
            server.barred = "the canaries have not been tried yet"

    def _server(self, settings: Settings, shares: Shares, name: str = RULES) -> JobServer:
        return JobServer.at(settings.jail, name, shares=shares, isolation=settings.isolation, observe=self._observe)

    def ready(self) -> bool | str:
        """Tell whether the wall is there and holds, or why not."""
        if not all(server.alive for server in self._all):
            return "the jail is away"
        return next((server.barred for server in self._all if server.barred), True)

    async def watch(self) -> None:
        """Attack the jail from within in each of its lives and once a minute, and let nothing in where it does not hold."""
        async with asyncio.TaskGroup() as tasks:
            for server in self._all:
                tasks.create_task(server.keep())
                tasks.create_task(self._look(server))

    @property
    def _all(self) -> tuple[JobServer, ...]:
        return self.runs, self.tries, self.transforms, self.transform_tries

    async def _look(self, server: JobServer) -> None:
        seen, tried = 0, 0.0
        while True:
            overdue = time.monotonic() - tried > (_LOOK_SECONDS * 5 if server.barred else _CANARY_SECONDS)
            if server.alive and (server.lives != seen or overdue):
                seen, tried = server.lives, time.monotonic()
                await self._attack(server)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _attack(self, server: JobServer) -> None:
        try:
            found = await server.problems()
        except JailError as error:
            found = [str(error)]
        if found:
            _LOG.error("jail.does_not_hold", problems=found)
        server.barred = "; ".join(found)[:1000]
        READY.set(not any(each.barred for each in self._all))

    def _observe(self, ending: Ending) -> None:
        JOBS.labels(ending.kind, ending.outcome, ending.code).inc()
        CPU.labels(ending.kind).inc(ending.cpu_seconds)
        BYTES.labels(ending.kind).inc(ending.answer_bytes)
        WALL.labels(ending.kind).observe(ending.wall_seconds)
        RSS.labels(ending.kind).observe(ending.peak_rss)
        for layer in LAYERS if ending.layers else ():
            LAYER.labels(layer).set(layer in ending.layers)
        if ending.code == _SIGSYS and ending.kind != "canary":
            SIGSYS.labels(ending.kind).inc()
            _LOG.warning("jail.forbidden_call", kind=ending.kind, tenant=ending.owner)
        if ending.owner is not None and ending.outcome in ("killed", "limit", "refused") and not self._untold.full():
            self._untold.put_nowait(ending)

    async def tell(self) -> None:
        """Announce each refusal and each end by force to its tenant's trail, until cancelled."""
        while True:
            ending = await self._untold.get()
            try:
                await self._announce(ending, UUID(ending.owner))
            except Exception:  # figures were kept; one event that cannot be written must not end the service
                _LOG.exception("jail.untold", kind=ending.kind, code=ending.code)

    async def _announce(self, ending: Ending, tenant: UUID) -> None:
        said = {
            "kind": ending.kind,
            "code": ending.code,
            "wall_seconds": round(ending.wall_seconds, 3),
            "cpu_seconds": round(ending.cpu_seconds, 3),
            "peak_rss": ending.peak_rss,
        }
        async with self._database.transaction(Context(tenant, "service:validator", utc_now())) as tx:
            if ending.outcome == "refused":
                await tx.emit("jail.refused", JailRefused.model_validate(said), entity=uuid4())
            else:
                await tx.emit("jail.killed", JailKilled.model_validate(said), entity=uuid4())
