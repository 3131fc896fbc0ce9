"""The two servers of `bench.verification`: the runner's list of runs, with its verifier or with one that trusts.

`python -m bench.verification_server <port> verified|unverified`, settings in the environment.
"""

import asyncio
import os
import sys
import time
from datetime import datetime

import httpx
import uvicorn
import uvloop

from libs.common.app import describe_app
from libs.common.database.pool import Database
from libs.common.http.middleware import Surroundings
from libs.common.identity.principal import Principal
from libs.common.identity.state import IdentityState
from libs.common.identity.verifier import Verifier
from libs.common.telemetry.logs import configure_logs
from libs.common.telemetry.traces import configure_traces
from services.runner.api.runs import runs


class Trusting(Verifier):
    """Takes every token for the first one's, without a look at it."""

    known: Principal | None = None

    def verify(self, token: str, now: datetime, *, writes: bool = True) -> Principal:
        """Return the caller of the first token."""
        if self.known is None:
            self.known = super().verify(token, now, writes=writes)
        return self.known


async def _keep(state: IdentityState) -> None:
    while True:  # no bus here: what was read at the start counts as fresh
        state.fresh_at = time.monotonic()
        await asyncio.sleep(1)


async def _serve(port: int, kind: str) -> None:
    issuer = os.environ["BENCH_ISSUER"]
    async with httpx.AsyncClient() as client:
        keys = (await client.get(f"{issuer}/.well-known/jwks.json")).raise_for_status().json()["keys"]
    state = IdentityState()
    state.replace({f"key.{key['kid']}": {"jwk": key} for key in keys})
    async with (
        Database.open(os.environ["BENCH_DATABASE_URL"], service="runner") as database,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(_keep(state))
        app = describe_app("runner", [runs])
        app.state.database = database
        app.state.verifier = (Verifier if kind == "verified" else Trusting)(state, issuer)
        app.add_middleware(Surroundings, service="runner", body_limits={})
        app.add_api_route("/healthz", lambda: "ok")
        await uvicorn.Server(
            uvicorn.Config(app, port=port, lifespan="off", log_config=None, access_log=False, server_header=False)
        ).serve()


def main() -> None:
    """Serve on the port of the first argument."""
    configure_logs("bench", format="json", level="info")
    configure_traces("bench", None)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1]), sys.argv[2]))


if __name__ == "__main__":
    main()
