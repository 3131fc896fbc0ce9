"""`kill -9` of any one process during the demo's run: it comes back, the run completes, once, and the trail is whole."""

import asyncio
import os
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from examples.broker_week.job import ENDED
from examples.client import ApiError
from tests.system.backstage import assert_one_entry_for_every_change, kill, settled
from tests.system.broker import HELD, ROWS, Broker, broker
from tests.system.proof import assert_balanced, sha256, trail_after
from tests.system.world import World

PROCESSES = ("postgres", "nats", "gateway", "auth", "catalog", "scheduler", "runner", "validator", "jail", "audit")
MOMENTS = (
    ("runner", "extract"),
    ("audit", ""),
    *(
        pytest.param(*moment, marks=pytest.mark.chaos)
        for moment in (("validator", "validate"), ("jail", "validate"), ("nats", "transform"), ("postgres", "render"))
    ),
)
SEED = int(os.environ.get("SEED", secrets.randbelow(10**9)))
_DAYS = iter(date(2026, 3, 6) + timedelta(days=n) for n in range(1000))


@pytest.fixture(scope="module")
async def trader(world: World) -> Broker:
    return await broker(world, "killed")


@pytest.mark.parametrize(("name", "step"), MOMENTS)
async def test_run_survives_the_death_of(world: World, trader: Broker, name: str, step: str) -> None:
    """One process is killed in the middle of a step; everything goes on as if it had not been (S10)."""
    run_id = await trader.start(day := next(_DAYS))
    await _until(lambda run: run["step"] == step or run["status"] in ENDED, trader, run_id)
    await kill(world, name)
    await _assert_completed_once(world, trader, run_id, day)


@pytest.mark.long
@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("attempt", range(3))
async def test_run_survives_the_death_at_any_moment_of(world: World, trader: Broker, name: str, attempt: int) -> None:
    """Each process is killed at random moments of the run (S10)."""
    pause = random.Random(f"{SEED} {name} {attempt}").uniform(0, 4)  # noqa: S311 - a moment, no secret
    print(f"SEED={SEED}: {name} dies {pause:.2f} s after the start")  # noqa: T201 - to repeat it
    run_id = await trader.start(day := next(_DAYS))
    await asyncio.sleep(pause)
    await kill(world, name)
    await _assert_completed_once(world, trader, run_id, day)


async def _assert_completed_once(world: World, trader: Broker, run_id: UUID, day: date) -> None:
    run = await _until(lambda run: run["status"] in ENDED, trader, run_id)
    counts = (run["status"], run["records_in"], run["records_out"], run["records_held"])
    assert counts == ("partial", ROWS, ROWS - HELD, HELD), run["reason"]
    assert_balanced(run)
    _assert_each_artifact_delivered_once(trader, run, day)
    note, entries = await trail_after(trader.tenant, str(run_id))
    told = Counter(entry["type"] for entry in entries if entry["subject"] == str(run_id))
    assert sum(told[f"runner.run.{status}.v1"] for status in ENDED) == 1
    assert_one_entry_for_every_change(await settled(world))
    verdict = await trader.tenant.api.post("/v1/audit/verify", {"checkpoint": note})
    assert verdict["finding"] == "proven"


def _assert_each_artifact_delivered_once(trader: Broker, run: dict[str, Any], day: date) -> None:
    promised = {artifact["name"]: artifact["sha256"] for artifact in run["artifacts"]}
    delivered = {path.name: sha256(path) for path in trader.tenant.outbox.glob(f"*{day}*")}
    assert delivered == promised
    assert len(promised) == 3
    assert sorted(d["artifact_id"] for d in run["deliveries"]) == sorted(a["id"] for a in run["artifacts"])
    assert {delivery["status"] for delivery in run["deliveries"]} == {"succeeded"}


async def _until(fits: Callable[[dict[str, Any]], bool], trader: Broker, run_id: UUID, seconds: float = 90) -> Any:
    """Wait until the run fits; while something is down, what does not answer is asked again."""
    deadline, last = time.monotonic() + seconds, "no answer"
    while time.monotonic() < deadline:
        try:
            run = await trader.tenant.api.get(f"/v1/runs/{run_id}")
        except (httpx.HTTPError, ApiError) as error:
            last = repr(error)
        else:
            if fits(run):
                return run
            last = f"{run['status']} {run['step']} {run['reason']}"
        await asyncio.sleep(0.03)
    raise TimeoutError(f"after {seconds:.0f} s: {last}")
