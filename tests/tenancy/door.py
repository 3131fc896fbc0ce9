"""A real service in this process over a database that may be spoiled, an owner with a schedule, and a stranger."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey

from deploy.local.nats import Nats
from libs.common.app import build_app, running
from services.scheduler.main import service
from services.scheduler.settings import Settings
from tests.architecture import rows
from tests.architecture.catalogue import TableName
from tests.architecture.walk import A, B
from tests.system.operations import Operation, operations
from tests.tenancy.conftest import Scratch
from tests.tenancy.strangers import Stranger

ISSUER = "https://regent.test"
BY_PATH = {str(operation): operation for operation in operations()}
LIST: Operation = BY_PATH["GET /v1/schedules"]
READ: Operation = BY_PATH["GET /v1/schedules/{id}"]


@dataclass(frozen=True, slots=True)
class Door:
    """The scheduler's HTTP door, the key that its tokens are signed with, and the id of A's schedule."""

    app: FastAPI
    scratch: Scratch
    kid: str
    key: ECKey
    schedule: str

    def bearer(self, tenant: UUID) -> dict[str, str]:
        """Return the header of somebody who may do everything in a tenant."""
        now = datetime.now(UTC)
        claims = {
            "iss": ISSUER,
            "aud": "regent",
            "sub": f"user:{uuid4()}",
            "tenant_id": str(tenant),
            "gid": str(uuid4()),
            "jti": str(uuid4()),
            "scope": "schedule:* calendar:*",
            "iat": int(now.timestamp()),
            "nbf": int(now.timestamp()),
            "exp": int((now + timedelta(seconds=250)).timestamp()),
        }
        header = {"alg": "ES256", "kid": self.kid, "typ": "at+jwt"}
        return {"Authorization": f"Bearer {jwt.encode(header, claims, self.key)}"}

    @asynccontextmanager
    async def stranger(self, app: Any = None) -> AsyncIterator[Stranger]:
        """Yield B, who knows A's ids; `app` may be something in front of the service."""
        header = self.bearer(B)

        async def bearer() -> dict[str, str]:
            return header

        transport = httpx.ASGITransport(app or self.app)
        async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as http:
            yield Stranger(http, bearer, {"schedules": self.schedule}, frozenset({self.schedule}))


@asynccontextmanager
async def opened(scratch: Scratch, bus: Nats, folder: Path) -> AsyncIterator[Door]:
    """Run the scheduler until the context ends; A and B have a schedule each."""
    settings = Settings(
        database_url=scratch.urls["scheduler_server"],
        relay_database_url=scratch.urls["scheduler_relay"],
        claimer_database_url=scratch.urls["scheduler_claimer"],
        nats_url=bus.url,
        nkey_seed_file=bus.seeds["scheduler"],
        objects=(folder / "objects").as_uri(),
        listen_port=1,
        public_url=ISSUER,
    )
    table = TableName("scheduler", "schedule")
    for number, tenant in enumerate((A, B), 1):
        await rows.insert(scratch.admin, table, tenant, number)
    await scratch.admin.execute("UPDATE scheduler.schedule SET status = 'paused', next_run_at = '2999-01-01'")
    declared, kid, key = service(settings), f"tenancy-{uuid4()}", ECKey.generate_key("P-256")
    async with running(declared) as runtime:
        await _known(bus, runtime.identity, kid, key)
        yield Door(build_app(declared, runtime), scratch, kid, key, str(UUID(int=1, version=4)))


async def _known(bus: Nats, identity: Any, kid: str, key: ECKey) -> None:
    async with bus.connect("auth") as auth:
        await auth.publish(f"$KV.identity.key.{kid}", orjson.dumps({"jwk": key.as_dict(private=False)}))
        await auth.flush()
    async with asyncio.timeout(20):
        while kid not in identity.keys:  # noqa: ASYNC110 - the service reads the bucket by itself
            await asyncio.sleep(0.05)
