"""What verifying tokens costs: the list of runs with it and without, as CPU of the server, in one run.

Two servers of the same application and database; one of them takes every token for the same caller's.
`python -m bench.verification [--runs N]`; exits with 1 when the bar is missed.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from statistics import median

import psutil

from bench.bars import Bars
from bench.run_list import drive, fill, server, tenant_token
from deploy.local.configuration import Configuration
from deploy.local.processes import free_port
from deploy.local.setup import setup_token
from deploy.local.stack import Stack
from examples.demo import first_tenant

_BAR = 1.15
_ROUNDS = 9
_SIDES = ("verified", "unverified")


async def compare(stack: Stack, runs: int) -> int:
    """Measure both in turns; returns the number of missed bars."""
    credentials = await first_tenant(stack.configuration.public_url, await setup_token(stack))
    token, tenant = await tenant_token(stack, credentials.client_id, credentials.client_secret)
    await fill(stack.postgres.url(database="regent"), tenant, runs)
    measured: dict[str, list[float]] = {side: [] for side in _SIDES}
    places = {}
    for side in _SIDES:
        port = free_port()
        child = await stack.start_beside(server(stack, side, "bench.verification_server", str(port), side))
        places[side] = (f"http://127.0.0.1:{port}", psutil.Process(child.pid))
    for _ in range(_ROUNDS + 1):
        for side, (url, process) in places.items():
            measured[side].append(await drive(url, token, process))
    bars = Bars()
    for side, values in measured.items():
        bars.report(f"server CPU per request, {side}", f"{median(values[1:]):,.0f} us")
    ratios = [one / other for one, other in zip(*(values[1:] for values in measured.values()), strict=True)]
    bars.check("list of runs, token verified / not verified", median(ratios), _BAR)
    return bars.missed


async def _run(runs: int, data: Path) -> int:
    async with Stack(Configuration(data=data, port=free_port()), lambda _name, _line: None) as stack:
        return await compare(stack, runs)


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    with tempfile.TemporaryDirectory(prefix="regent-bench-", ignore_cleanup_errors=True) as work:
        return 1 if asyncio.run(_run(parser.parse_args().runs, Path(work) / "data")) else 0


if __name__ == "__main__":
    sys.exit(main())
