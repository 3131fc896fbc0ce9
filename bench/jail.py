"""What the jail costs: CPU on top of the same work outside of it, and a confined process against a cold interpreter.

`python -m bench jail` or `python -m bench.jail [--rounds N]`; exits with 1 when a bar is missed.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from bench import jail_work
from bench.bars import Bars
from bench.cpu import tree_cpu
from libs.common.jail import JobServer, Limits
from services.validator.jail.broker import PRELOAD

_ROOT = Path(__file__).parents[1]
_LEAST_SECONDS = 0.4
_CPU_BAR, _COLD_BAR = 1.05, 0.1
_WARM_PER_COLD = 5
_LIMITS = Limits(wall_seconds=120, cpu_seconds=120)
_COLD = f"from libs.common.jail.settling import preload; preload({(*PRELOAD, 'bench.jail_work')!r})"


async def spent(work: Callable[[], Awaitable[object]]) -> float:
    """Return the CPU seconds that some work took, here and in all processes below."""
    before = tree_cpu()
    await work()
    return tree_cpu() - before


async def outside(numbers: int) -> object:
    """Do the work in this process."""
    return jail_work.run({"numbers": numbers}, [])


async def enough(numbers: int = 10_000_000) -> int:
    """Return for how many numbers the work takes at least the least time that is compared."""
    long = await spent(lambda: outside(numbers)) >= _LEAST_SECONDS
    return numbers if long else await enough(2 * numbers)


async def compare_cpu(jail: JobServer, rounds: int, bars: Bars) -> None:
    """Compare the same engine's work in the jail and outside, in turns."""
    numbers = await enough()
    pairs = []
    for _ in range(rounds):
        plain = await spent(lambda: outside(numbers))
        jailed = await spent(lambda: jail.run({"numbers": numbers}, limits=_LIMITS))
        pairs.append((jailed, plain))
    bars.report("CPU of the work outside the jail", f"{median(plain for _, plain in pairs):.2f} s")
    bars.check(
        "CPU in the jail / outside", median(jailed for jailed, _ in pairs) / median(p for _, p in pairs), _CPU_BAR
    )


async def compare_starts(jail: JobServer, rounds: int, bars: Bars) -> None:
    """Compare a confined process, from asking to its answer, with a fresh interpreter that imports the same."""
    warm, cold = [], []
    for _ in range(rounds):
        for _ in range(_WARM_PER_COLD):
            began = time.perf_counter()
            await jail.run({})
            warm.append(time.perf_counter() - began)
            await asyncio.sleep(0.1)
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", _COLD], cwd=_ROOT, check=True)  # noqa: ASYNC221, S603 - nothing else shall run
        cold.append(time.perf_counter() - began)
    bars.report(
        "confined process, p50 / p90", f"{median(warm) * 1e3:.1f} / {sorted(warm)[len(warm) * 9 // 10] * 1e3:.1f} ms"
    )
    bars.report("cold interpreter, p50", f"{median(cold) * 1e3:.0f} ms")
    bars.check("confined process / cold interpreter, p50", median(warm) / median(cold), _COLD_BAR)


async def compare(rounds: int) -> int:
    """Measure both; returns the number of missed bars."""
    bars = Bars()
    async with JobServer("bench.jail_work:run", preload=(*PRELOAD, "bench.jail_work")) as jail:
        await compare_cpu(jail, rounds, bars)
        await compare_starts(jail, rounds, bars)
    return bars.missed


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    return 1 if asyncio.run(compare(parser.parse_args().rounds)) else 0


if __name__ == "__main__":
    sys.exit(main())
