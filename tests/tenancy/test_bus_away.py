"""The bus is away: what was known goes on for a while, then nothing is written, then nobody is served (S11).

The server is really stopped; the passing of half a minute, and of a token's life, is told to the state.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from deploy.local.nats import Nats
from deploy.local.supervisor import Supervisor
from libs.common.bus.connection import connect
from libs.common.errors import Unauthenticated, Unavailable
from libs.common.identity.state import LIFETIME_SECONDS, TRUST_SECONDS, IdentityState, keep_fresh
from libs.common.identity.verifier import Verifier
from tests.architecture.walk import A
from tests.conftest import start_nats
from tests.tenancy.conftest import Scratch
from tests.tenancy.door import ISSUER, LIST, opened

KEY = ECKey.generate_key("P-256")
NOW = datetime.now(UTC)
GRANT = uuid4()


def token() -> str:
    """Return a good access token."""
    claims = {
        "iss": ISSUER,
        "aud": "regent",
        "sub": f"user:{uuid4()}",
        "tenant_id": str(uuid4()),
        "gid": str(GRANT),
        "jti": str(uuid4()),
        "scope": "run:read",
        "iat": int(NOW.timestamp()),
        "nbf": int(NOW.timestamp()),
        "exp": int((NOW + timedelta(seconds=290)).timestamp()),
    }
    return jwt.encode({"alg": "ES256", "kid": "away", "typ": "at+jwt"}, claims, KEY)


@asynccontextmanager
async def process(server: Nats) -> AsyncIterator[IdentityState]:
    """Yield what a service's process knows, kept fresh as there."""
    async with connect(server.url, service="runner", seed_file=server.seeds["runner"]) as bus:
        state = IdentityState()
        task = asyncio.create_task(keep_fresh(state, bus))
        try:
            await until(lambda: state.primed)
            yield state
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the condition has no event
            await asyncio.sleep(0.02)


async def publish(server: Nats, name: str, value: object) -> None:
    """Write an entry of the identity bucket, as auth does."""
    async with server.connect("auth") as auth:
        await auth.jetstream(prefix="BUS").publish(f"$KV.identity.{name}", orjson.dumps(value))


async def test_a_running_service_keeps_to_the_rule(
    scratch: Scratch, supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """The same through a service's door: 503 to writes, then to all; back again, who was revoked is refused (S11)."""
    server = await start_nats(supervisor, tmp_path_factory, "nats-service-away")
    async with opened(scratch, server, tmp_path) as door:
        identity, kept, gone = door.app.state.runtime.identity, door.bearer(A), door.bearer(A)
        transport = httpx.ASGITransport(door.app)
        async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as http:

            async def asked(bearer: dict[str, str]) -> tuple[int, int]:
                """Read a list, and send a body that whoever may write is told is wrong."""
                read = await http.get(LIST.path, headers=bearer)
                written = await http.post(LIST.path, headers=bearer, json={})
                return read.status_code, written.status_code

            assert await asked(kept) == (200, 422)
            await supervisor.stop("nats-service-away")
            known = identity.fresh_at
            assert await asked(kept) == (200, 422)
            identity.fresh_at = known - TRUST_SECONDS
            assert await asked(kept) == (200, 503)
            refused = await http.post(LIST.path, headers=kept, json={})
            assert int(refused.headers["retry-after"]) > 0
            identity.fresh_at = known - LIFETIME_SECONDS
            assert await asked(kept) == (503, 503)
            await supervisor.start(server.program("nats-service-away"))
            await publish(server, f"revoked.{grant_of(gone)}", {})
            await until(lambda: grant_of(gone) in identity.revoked)
            assert (await asked(gone), await asked(kept)) == ((401, 401), (200, 422))
    await supervisor.stop("nats-service-away")


def grant_of(bearer: dict[str, str]) -> UUID:
    """Return the grant that a token was given under."""
    body = bearer["Authorization"].split(".")[1]
    return UUID(orjson.loads(base64.urlsafe_b64decode(body + "=="))["gid"])


async def test_writes_end_first_then_everything_and_all_returns(
    supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """30 s without the bus: no writes; a token's life: nothing; back again: a revocation made meanwhile holds (S11)."""
    server = await start_nats(supervisor, tmp_path_factory, "nats-away")
    await publish(server, "key.away", {"jwk": KEY.as_dict(private=False)})
    async with process(server) as state:
        verifier, presented = Verifier(state, ISSUER), token()
        await supervisor.stop("nats-away")
        known = state.fresh_at
        await asyncio.sleep(1.2)
        assert state.fresh_at == known
        assert known is not None
        verifier.verify(presented, NOW)
        state.fresh_at = known - TRUST_SECONDS
        verifier.verify(presented, NOW, writes=False)
        with pytest.raises(Unavailable):
            verifier.verify(presented, NOW, writes=True)
        state.fresh_at = known - LIFETIME_SECONDS
        with pytest.raises(Unavailable):
            verifier.verify(presented, NOW, writes=False)
        await supervisor.start(server.program("nats-away"))
        await publish(server, f"revoked.{GRANT}", {})
        await until(lambda: GRANT in state.revoked)
        with pytest.raises(Unauthenticated):
            verifier.verify(presented, NOW, writes=False)
    await supervisor.stop("nats-away")
