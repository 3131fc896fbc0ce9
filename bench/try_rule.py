"""Trying one rule on a thousand rows, through the gateway, against opening an empty DuckDB connection.

The connection is opened in a warm process, which has imported the engine and opened one before.
`python -m bench try` or `python -m bench.try_rule [--tries N]`; exits with 1 when a bar is missed. The bar of p99 is for
an idle machine.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import duckdb

from bench.bars import Bars
from deploy.local.configuration import Configuration
from deploy.local.processes import free_port
from deploy.local.setup import setup_token
from deploy.local.stack import Stack
from examples.broker_week.job import publish
from examples.client import Api
from examples.demo import first_tenant
from libs.common.vocabulary.rules import ExpressionCheck, RuleSpec
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec

_ROWS, _WRONG = 1000, 10
_CONNECTION_BAR, _P99_BAR = 3.0, 100.0
_PAUSE = 0.05
"""A person's tries do not come back to back; the next spare process is ready by then."""


def opened() -> float:
    """Return the seconds that opening and closing an empty connection takes."""
    began = time.perf_counter()
    duckdb.connect().close()
    return time.perf_counter() - began


async def question(api: Api) -> dict[str, Any]:
    """Return the body of a try: one rule, a thousand rows, ten of which fail."""
    fields = (SchemaField(name="id", type="text", required=True), SchemaField(name="amount", type="decimal", scale=2))
    schema = await publish(api, "/v1/schemas", "payments", SchemaSpec(fields=fields))
    rule = RuleSpec(
        schema_id=schema, check=ExpressionCheck(expression="amount > 0"), message="{amount} is not positive"
    )
    records = [{"id": f"P{n:04}", "amount": n - _WRONG + 0.25} for n in range(_ROWS)]
    return {"rules": [rule.model_dump(mode="json")], "records": records, "business_key": ["id"]}


async def tried(api: Api, body: dict[str, Any]) -> float:
    """Return the seconds from asking to the whole answer.

    Raises:
        ValueError: the answer is not what it should be.
    """
    began = time.perf_counter()
    answer = await api.post("/v1/rules:try", body)
    seconds = time.perf_counter() - began
    if (answer["records"], answer["held"]) != (_ROWS, _WRONG):
        raise ValueError(f"{answer['held']} of {answer['records']} records fail")
    return seconds


async def compare(stack: Stack, tries: int) -> int:
    """Measure both in turns; returns the number of missed bars."""
    bars, url = Bars(), stack.configuration.public_url
    credentials = await first_tenant(url, await setup_token(stack))
    connections, answers = [], []
    async with Api(url, credentials.client_id, credentials.client_secret) as api:
        body = await question(api)
        for _ in range(10):
            opened()
            await tried(api, body)
        for _ in range(tries):
            await asyncio.sleep(_PAUSE)
            connections.append(opened())
            await asyncio.sleep(_PAUSE)
            answers.append(await tried(api, body))
    slowest = sorted(answers)[int(len(answers) * 0.99)] * 1e3
    bars.report("opening an empty connection, p50", f"{median(connections) * 1e3:.1f} ms")
    bars.report("one rule on 1,000 rows, p50", f"{median(answers) * 1e3:.1f} ms")
    bars.check("trying a rule / opening a connection, p50", median(answers) / median(connections), _CONNECTION_BAR)
    bars.check("trying a rule, p99 in ms", slowest, _P99_BAR)
    return bars.missed


async def _run(data: Path, tries: int) -> int:
    async with Stack(Configuration(data=data, port=free_port()), lambda _name, _line: None) as stack:
        return await compare(stack, tries)


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=300)
    tries: int = parser.parse_args().tries
    with tempfile.TemporaryDirectory(prefix="regent-bench-", ignore_cleanup_errors=True) as work:
        return 1 if asyncio.run(_run(Path(work), tries)) else 0


if __name__ == "__main__":
    sys.exit(main())
