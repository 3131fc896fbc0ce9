"""The list of runs over a million of them: ours against an ORM and Pydantic version of the same list.

Both servers use the same database, row-level security, token and page size; what is compared is the CPU time that the
server process spends on a request. `python -m bench.run_list [--runs N]`; exits with 1 when the bar is missed.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from uuid import UUID

import asyncpg
import httpx
import psutil

from bench.bars import Bars
from deploy.local.configuration import Configuration
from deploy.local.processes import Program, free_port, minimal_environment
from deploy.local.setup import setup_token
from deploy.local.stack import Stack
from examples.demo import first_tenant

_ROOT = Path(__file__).parents[1]
_REQUESTS = 400
_ROUNDS = 5
_BAR = 0.35

_FILL = """
INSERT INTO runner.run (tenant_id, id, report_id, report_version, report_name, business_date, as_of, trigger, status,
                        records_in, records_out, records_held, created_by, created_at, started_at, ended_at)
SELECT $1, uuidv7(), ('00000000-0000-0000-0000-' || lpad((n % 50)::text, 12, '0'))::uuid, 1 + n % 7,
       'report ' || n % 50, date '2025-01-01' + (n / 2000)::int, timestamptz '2025-01-01' + n * interval '1 minute',
       'schedule', 'succeeded', n % 5000, n % 4900, 0, 'client:bench',
       timestamptz '2025-01-01' + n * interval '20 seconds', timestamptz '2025-01-01' + n * interval '20 seconds',
       timestamptz '2025-01-01' + n * interval '20 seconds' + interval '2 seconds'
FROM generate_series(1, $2::bigint) n
"""


async def fill(url: str, tenant: UUID, runs: int) -> None:
    """Put runs into the tenant's list, as the server's administrator."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_FILL, tenant, runs, timeout=600)
        await connection.execute("VACUUM ANALYZE runner.run", timeout=600)
    finally:
        await connection.close()


async def drive(url: str, token: str, process: psutil.Process) -> float:
    """Ask for pages, each the next one of the list; returns the server's CPU microseconds per request."""
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}) as client:
        cursor: str | None = None
        before = process.cpu_times()
        for _ in range(_REQUESTS):
            page = await client.get("/v1/runs", params={"cursor": cursor} if cursor else {})
            content = page.raise_for_status().json()
            if len(content["items"]) != 50:
                raise ValueError("a page is not full")
            cursor = content["next"]
        after = process.cpu_times()
    return float(after.user + after.system - before.user - before.system) / _REQUESTS * 1e6


async def compare(stack: Stack, runs: int) -> int:
    """Fill, start the baseline beside the runner, and compare; returns the number of missed bars."""
    credentials = await first_tenant(stack.configuration.public_url, await setup_token(stack))
    token, tenant = await tenant_token(stack, credentials.client_id, credentials.client_secret)
    admin = stack.postgres.url(database="regent")
    await fill(admin, tenant, runs)
    port = free_port()
    baseline = await stack.start_beside(server(stack, "baseline", "bench.run_list_orm", str(port)))
    sides = {
        "ours": (stack.service_url("runner"), psutil.Process(stack.children["runner"].pid)),
        "ORM and Pydantic": (f"http://127.0.0.1:{port}", psutil.Process(baseline.pid)),
    }
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(_ROUNDS + 1):
        for name, (url, process) in sides.items():
            measured[name].append(await drive(url, token, process))
    return _judge({name: values[1:] for name, values in measured.items()})


def _judge(measured: dict[str, Sequence[float]]) -> int:
    bars = Bars()
    for name, values in measured.items():
        bars.report(f"server CPU per request, {name}", f"{median(values):,.0f} us")
    ratios = [ours / theirs for ours, theirs in zip(*measured.values(), strict=True)]
    bars.check("list of runs, server CPU / ORM and Pydantic", median(ratios), _BAR)
    return bars.missed


async def tenant_token(stack: Stack, client: str, secret: str) -> tuple[str, UUID]:
    """Return a client's access token and its tenant."""
    async with httpx.AsyncClient(base_url=stack.configuration.public_url) as http:
        answer = await http.post("/oauth2/token", data={"grant_type": "client_credentials"}, auth=(client, secret))
        token = answer.raise_for_status().json()["access_token"]
        me = await http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    return token, UUID(me.raise_for_status().json()["tenant"]["id"])


def server(stack: Stack, name: str, module: str, port: str, *more: str) -> Program:
    """Return another server of the runner's database, to be measured beside it."""
    url = stack.postgres.url("runner_server", stack.passwords()["runner_server"], "regent")
    return Program(
        name=name,
        command=(sys.executable, "-m", module, port, *more),
        environment={
            **minimal_environment(),
            "BENCH_DATABASE_URL": url,
            "BENCH_ISSUER": stack.configuration.public_url,
        },
        ready=lambda: _answers(int(port)),
        directory=_ROOT,
    )


async def _answers(port: int) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{port}/healthz")).is_success
    except httpx.HTTPError:
        return False


async def _run(runs: int, data: Path) -> int:
    async with Stack(Configuration(data=data, port=free_port()), lambda _name, _line: None) as stack:
        return await compare(stack, runs)


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    options = parser.parse_args()
    print(f"list of runs over {options.runs:,} runs, {datetime.now(UTC):%Y-%m-%d}", flush=True)
    with tempfile.TemporaryDirectory(prefix="regent-bench-", ignore_cleanup_errors=True) as work:
        return 1 if asyncio.run(_run(options.runs, Path(work) / "data")) else 0


if __name__ == "__main__":
    sys.exit(main())
