"""What twenty logins a second cost everybody else: p99 of a list request with and without them, in turns.

Passwords are verified off the event loop, a few at a time; the list is answered by the same process.
`python -m bench.logins [--rounds N]`; exits with 1 when a bar is missed.
"""

import argparse
import asyncio
import itertools
import math
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from uuid import UUID

import httpx

from bench.bars import Bars
from deploy.cli.local import auth_database
from deploy.local.configuration import Configuration
from deploy.local.processes import free_port
from deploy.local.setup import setup_token
from deploy.local.stack import Stack
from examples.client import Api
from examples.demo import first_tenant
from libs.common.context import utc_now
from services.auth.operator import NewPerson, create_user

_OTHERS = ("catalog", "scheduler", "runner", "validator", "audit")
_PEOPLE, _LOGINS, _REQUESTS, _SECONDS = 40, 20, 50, 8.0
_BAR = 2.0


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who logs in again and again."""

    email: str
    password: str


async def people(api: Api) -> list[Person]:
    """Make people who can log in, as an operator does on the machine itself."""
    made = [Person(f"person-{number}@broker.example", secrets.token_urlsafe(18)) for number in range(_PEOPLE)]
    tenant = UUID((await api.get("/v1/tenants/current"))["id"])
    async with auth_database() as database:
        for person in made:
            new = NewPerson(person.email, "Person", person.password)
            await create_user(database, utc_now(), tenant, new, ["viewer"])
    return made


async def steadily(rate: int, seconds: float, once: Callable[[], Awaitable[float]]) -> list[float]:
    """Begin something `rate` times a second, whether or not what began before has ended; returns what each returned."""
    began, tasks = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(once()))
    return list(await asyncio.gather(*tasks))


@asynccontextmanager
async def logins(http: httpx.AsyncClient, turn: Iterator[Person], seconds: float) -> AsyncIterator[list[float]]:
    """Log people in at a steady rate meanwhile; the list holds how long each took, in the end."""

    async def once() -> float:
        person, began = next(turn), time.perf_counter()
        answer = await http.post("/v1/login", json={"email": person.email, "password": person.password})
        return time.perf_counter() - began if answer.is_success else math.inf

    took: list[float] = []
    task = asyncio.create_task(steadily(_LOGINS, seconds, once))
    yield took
    took += await task


async def compare(stack: Stack, rounds: int) -> int:
    """Measure with and without logins in turns; returns the number of missed bars."""
    url = stack.configuration.public_url
    credentials = await first_tenant(url, await setup_token(stack))
    async with Api(url, credentials.client_id, credentials.client_secret) as api:
        turn = itertools.cycle(await people(api))
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        form = {"grant_type": "client_credentials"}
        answer = await http.post("/oauth2/token", data=form, auth=(credentials.client_id, credentials.client_secret))
        bearer = {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}

        async def once() -> float:
            began = time.perf_counter()
            (await http.get("/v1/users", headers=bearer)).raise_for_status()
            return time.perf_counter() - began

        alone: list[Sequence[float]] = []
        beside: list[Sequence[float]] = []
        entered: list[float] = []
        await steadily(_REQUESTS, 2.0, once)
        for _ in range(rounds):
            alone.append(await steadily(_REQUESTS, _SECONDS, once))
            async with logins(http, turn, _SECONDS) as took:
                beside.append(await steadily(_REQUESTS, _SECONDS, once))
            entered += took
    return _judge(alone, beside, entered)


def _judge(alone: Sequence[Sequence[float]], beside: Sequence[Sequence[float]], entered: Sequence[float]) -> int:
    bars = Bars()
    quiet, busy = ([_p99(values) for values in side] for side in (alone, beside))
    bars.report("list of users alone, p99", f"{median(quiet) * 1e3:.1f} ms")
    bars.report(f"the same beside {_LOGINS} logins a second, p99", f"{median(busy) * 1e3:.1f} ms")
    refused = sum(math.isinf(seconds) for seconds in entered)
    bars.report("a login, p50", f"{median(entered) * 1e3:.0f} ms")
    bars.check("logins refused, per cent", 100 * refused / len(entered), 1)
    ratios = [with_logins / without for with_logins, without in zip(busy, quiet, strict=True)]
    bars.check("p99 of other requests beside logins / alone", median(ratios), _BAR)
    return bars.missed


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


async def _run(rounds: int, data: Path) -> int:
    configuration = Configuration(data=data, port=free_port())
    os.environ["REGENT_DATA"] = str(data)  # where the operator's commands find the database
    async with Stack(configuration, lambda _name, _line: None, without=_OTHERS) as stack:
        return await compare(stack, rounds)


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds: int = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="regent-bench-", ignore_cleanup_errors=True) as work:
        return 1 if asyncio.run(_run(rounds, Path(work) / "data")) else 0


if __name__ == "__main__":
    sys.exit(main())
