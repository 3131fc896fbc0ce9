"""The runner as a running service: its bus, its workers, its HTTP door."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
from joserfc import jwt
from joserfc.jwk import ECKey

from deploy.local.nats import Nats
from libs.common.app import Runtime, build_app, running
from libs.common.bus.fetching import fetch
from libs.common.database.pool import Database
from libs.common.jail import JobServer
from services.runner.main import declare
from services.runner.settings import RunnerSettings
from tests.documented import watched
from tests.runner.world import World

ISSUER = "http://localhost:8080"
ALL = ("run:*", "artifact:*")


class Live:
    """A running runner and tokens to talk to it."""

    def __init__(self, runtime: Runtime, client: httpx.AsyncClient, key: tuple[str, ECKey], home: Path) -> None:
        self.runtime, self.client, self.home = runtime, client, home
        self._kid, self._key = key

    def headers(self, tenant: UUID, permissions: Iterable[str] = ALL) -> dict[str, str]:
        now = datetime.now(UTC)
        claims = {
            "iss": ISSUER,
            "aud": "regent",
            "sub": f"user:{uuid4()}",
            "tenant_id": str(tenant),
            "gid": str(uuid4()),
            "jti": str(uuid4()),
            "scope": " ".join(permissions),
            "iat": int(now.timestamp()),
            "nbf": int(now.timestamp()),
            "exp": int((now + timedelta(seconds=250)).timestamp()),
        }
        header = {"alg": "ES256", "kid": self._kid, "typ": "at+jwt"}
        return {"Authorization": f"Bearer {jwt.encode(header, claims, self._key)}"}

    async def ended(self, run_id: str, headers: dict[str, str], seconds: float = 30) -> dict[str, Any]:
        """Wait until a run has ended, and return it."""
        async with asyncio.timeout(seconds):
            while True:
                shown: dict[str, Any] = (await self.client.get(f"/v1/runs/{run_id}", headers=headers)).json()
                if shown["ended_at"]:
                    return shown
                await asyncio.sleep(0.05)

    async def reaches(self, run_id: str, status: str, headers: dict[str, str], seconds: float = 30) -> dict[str, Any]:
        """Wait until a run is in a status, and return it."""
        async with asyncio.timeout(seconds):
            while True:
                shown: dict[str, Any] = (await self.client.get(f"/v1/runs/{run_id}", headers=headers)).json()
                if shown["status"] == status:
                    return shown
                await asyncio.sleep(0.05)


@asynccontextmanager
async def live(urls: dict[str, str], nats: Nats, home: Path, **more: Any) -> AsyncIterator[Live]:
    """Run the service below `home`."""
    for name in ("in", "out"):
        (home / name).mkdir(exist_ok=True)
    settings = _settings(urls, nats, home, **more)
    kid, key = f"runner-{uuid4()}", ECKey.generate_key("P-256")  # the bucket outlives this service
    service = declare(settings)
    async with running(service) as runtime:
        await _publish_identity(nats, {f"key.{kid}": {"jwk": key.as_dict(private=False)}})
        async with asyncio.timeout(20):
            while kid not in runtime.identity.keys:  # noqa: ASYNC110 - the service reads the bucket by itself
                await asyncio.sleep(0.05)
        transport = httpx.ASGITransport(build_app(service, runtime))
        async with watched(httpx.AsyncClient(transport=transport, base_url="http://runner", timeout=60)) as client:
            yield Live(runtime, client, (kid, key), home)


async def _publish_identity(nats: Nats, entries: dict[str, Any]) -> None:
    # as auth does: the service reads the bucket every half second
    async with nats.connect("auth") as client:
        for name, value in entries.items():
            await client.publish(f"$KV.identity.{name}", orjson.dumps(value))
        await client.flush()


def _settings(urls: dict[str, str], nats: Nats, home: Path, **more: Any) -> RunnerSettings:
    roots = {}
    for kind, name in (("source", "in"), ("destination", "out")):
        roots[f"{kind}_roots"] = file = home / f"{kind}-roots.json"
        file.write_text(json.dumps({"*": {name: str(home / name)}}))
    values = {
        "database_url": urls["runner_server"],
        "relay_database_url": urls["runner_relay"],
        "reaper_database_url": urls["runner_reaper"],
        "nats_url": nats.url,
        "nkey_seed_file": nats.seeds["runner"],
        "objects": (home / "objects").as_uri(),
        "listen_port": 1,
        "public_url": ISSUER,
        "scratch": home / "scratch",
        "retry_seconds": 0.01,
        **roots,
    }
    return RunnerSettings(**{**values, **more})


def world_beside(service: Live, database: Database, urls: dict[str, str], jobs: JobServer, seed_file: Path) -> World:
    """Return a new tenant's world whose definitions the running service sees."""
    return World(database, database, urls, jobs, seed_file, service.home)


class Judge:
    """Answers the runner's requests at once, through the bus, as the validator's events say it."""

    def __init__(self, nats: Nats, held: tuple[int, ...] = ()) -> None:
        self._nats = nats
        self._held = held

    @asynccontextmanager
    async def judging(self, world: World) -> AsyncIterator[None]:
        """Judge while the context lasts."""
        async with self._nats.connect("validator") as client:
            task = asyncio.create_task(self._judge(client, world))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _judge(self, client: Any, world: World) -> None:
        stream = client.jetstream(prefix="BUS")
        subscription = await stream.pull_subscribe_bind(durable="validator", stream="EVT")
        while True:
            for message in await fetch(subscription, 10, 1):
                await message.ack()
                if message.subject == f"evt.{world.tenant}.runner.validation.requested":
                    await self._answer(stream, world, orjson.loads(message.data))

    async def _answer(self, stream: Any, world: World, asked: dict[str, Any]) -> None:
        data = await world.validator.verdict_on(asked["data"], held=self._held)
        event = world.event("validator.validation.completed", data)
        subject = f"evt.{world.tenant}.validator.validation.completed"
        await stream.publish(subject, event.model_dump_json(exclude_none=True).encode())
