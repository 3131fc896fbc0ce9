"""The exception queue over a million exceptions: any page of any list, and the groups, through the running validator.

Beside the tenant are many with few, so that the engine expects little of a tenant. Some are asked again while a run's
exceptions close by themselves.

`python -m bench.exceptions [--exceptions N]`; prints p50 and p95 in milliseconds, exits with 1 when a bar is missed.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx

from bench.bars import Bars
from bench.run_list import tenant_token
from deploy.local.configuration import Configuration
from deploy.local.processes import free_port
from deploy.local.setup import setup_token
from deploy.local.stack import Stack
from examples.demo import first_tenant
from services.validator.exceptions.evidence import term_of

_BAR_MS = 200.0
_ROUNDS = 40
_OTHERS, _OF_OTHERS = 300, 20
_RUN = UUID(int=1)
_FILL = """
INSERT INTO validator.exception (tenant_id, run_id, report_id, business_date, phase, ordinal, key, rule_id, rule_version,
    rule_name, outcome, fields, message, status, opened_at, due_at, evidence, grouped, assignee, resolution)
SELECT $1, ('00000000-0000-0000-0000-' || lpad((1 + n / 500000)::text, 12, '0'))::uuid,
       '00000000-0000-0000-0000-000000000009', date '2026-03-02' + (n / 500000)::int, 'input', n, 'T' || n, 'r' || n % 20, 1,
       'rule ' || n % 20, 'fail', jsonb_build_object('venue', 'V' || n % 500), 'venue is not known',
       CASE WHEN n % 10 = 0 THEN 'closed' WHEN n % 10 = 1 THEN 'waived' ELSE 'open' END,
       timestamptz '2026-03-02' + n * interval '50 milliseconds', timestamptz '2026-03-03',
       ('00000000-0000-0000-0001-' || lpad((n % 500)::text, 12, '0'))::uuid, true,
       CASE WHEN n % 7 = 0 THEN '00000000-0000-0000-0000-000000000007'::uuid END, CASE WHEN n % 10 = 0 THEN 'reported' END
FROM generate_series(1, $2::bigint) n
"""
_TERMS = """
INSERT INTO validator.exception_term (tenant_id, term, opened_at, exception_id)
SELECT e.tenant_id, t.term, e.opened_at, e.id FROM validator.exception e
JOIN unnest($2::text[], $3::bigint[]) AS t (value, term) ON e.fields ->> 'venue' = t.value WHERE e.tenant_id = $1
"""
# as the opening counts: of each scope the rules, and their causes
_TALLY = """
INSERT INTO validator.exception_tally
SELECT e.tenant_id, s.scope, e.rule_id, e.phase, c.cause, max(e.rule_name), 1, '{}',
       count(*) FILTER (WHERE status = 'open'), 0, count(*) FILTER (WHERE status = 'waived'), 0,
       count(*) FILTER (WHERE status = 'closed')
FROM validator.exception e, unnest(ARRAY[e.run_id, e.report_id, '00000000-0000-0000-0000-000000000000'::uuid]) AS s (scope),
     unnest(ARRAY['00000000-0000-0000-0000-000000000000'::uuid, e.evidence]) AS c (cause)
WHERE e.tenant_id = $1 GROUP BY e.tenant_id, s.scope, e.rule_id, e.phase, c.cause
"""
# as a run that is cancelled after its verdict leaves it
_CLOSE = """
INSERT INTO validator.job (tenant_id, request_id, run_id, request, task, status, created_at)
VALUES ($1, $2, $3, $4, 'void', 'queued', now())
"""
_CLOSED = """
SELECT sum(closed)::bigint FROM validator.exception_tally
WHERE tenant_id = $1 AND scope = $2 AND evidence = '00000000-0000-0000-0000-000000000000'
"""
_TABLES = ("exception", "exception_term", "exception_tally")
_WHILE_CLOSING = ("all", "open", "a run", "a report", "an assignee", "a cause")
LISTS: dict[str, dict[str, Any]] = {
    "all": {},
    "open": {"status": "open"},
    "oldest first": {"order": "oldest"},
    "a run": {"run_id": str(_RUN)},
    "a rule of a run, open": {"run_id": str(_RUN), "rule_id": "r3", "status": "open"},
    "a report": {"report_id": str(UUID(int=9))},
    "a rule": {"rule_id": "r5"},
    "a day": {"business_date": "2026-03-02"},
    "an assignee": {"assignee": str(UUID(int=7))},
    "a key": {"key": "T77"},
    "a value": {"field": "venue", "value": "V4"},
    "a cause": {"cause": str(UUID(int=(1 << 64) + 4))},
    "nobody's": {"unassigned": True},
    "the input's": {"phase": "input"},
    "the output's, of which there is none": {"phase": "output"},
    "old ones": {"older_than": "P2D", "status": "open"},
    "an assignee's of a rule, waived": {"assignee": str(UUID(int=7)), "rule_id": "r11", "status": "waived"},
    "nobody's of a report's rule": {
        "unassigned": True,
        "report_id": str(UUID(int=9)),
        "rule_id": "r5",
        "status": "open",
    },
    "an assignee's of a day that has none": {"assignee": str(UUID(int=7)), "business_date": "2026-03-09"},
    "a value with another rule": {"field": "venue", "value": "V4", "rule_id": "r5"},
    "a value of an assignee": {"field": "venue", "value": "V4", "assignee": str(UUID(int=7)), "status": "open"},
}


async def fill(url: str, tenant: UUID, exceptions: int) -> float:
    """Put exceptions and their counts into the tenant's queue, as the administrator; returns the seconds."""
    started = time.perf_counter()
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_FILL, tenant, exceptions, timeout=1800)
        for _ in range(_OTHERS):
            await connection.execute(_FILL, uuid4(), _OF_OTHERS)
        values = [f"V{n}" for n in range(500)]
        await connection.execute(_TERMS, tenant, values, [term_of("venue", value) for value in values], timeout=1800)
        await connection.execute(_TALLY, tenant, timeout=1800)
        for table in _TABLES:
            await connection.execute(f"VACUUM ANALYZE validator.{table}", timeout=1800)
    finally:
        await connection.close()
    return time.perf_counter() - started


async def _timed(client: httpx.AsyncClient, path: str, wanted: dict[str, Any]) -> list[float]:
    """Ask for a list's pages one after the other, or for the same thing again; returns the milliseconds of each."""
    taken, cursor = [], None
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        answer = await client.get(path, params={**wanted, **({"cursor": cursor} if cursor else {})})
        taken.append((time.perf_counter() - started) * 1000)
        cursor = answer.raise_for_status().json()["next"]
    return sorted(taken)


async def measure(stack: Stack, exceptions: int) -> int:
    """Fill, ask, and compare with the bar; returns the number of missed bars."""
    credentials = await first_tenant(stack.configuration.public_url, await setup_token(stack))
    token, tenant = await tenant_token(stack, credentials.client_id, credentials.client_secret)
    bars = Bars()
    bars.report("filled in", f"{await fill(stack.postgres.url(database='regent'), tenant, exceptions):.0f} s")
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=stack.service_url("validator"), headers=headers, timeout=60) as client:
        asked = {f"list, {name}": ("/v1/exceptions", wanted) for name, wanted in LISTS.items()}
        scopes: dict[str, dict[str, Any]] = {
            "a run": {"run_id": str(_RUN)}, "a report": {"report_id": str(UUID(int=9))}, "all": {},
        }  # fmt: skip
        asked |= {f"groups, {name}": ("/v1/exceptions/groups", wanted) for name, wanted in scopes.items()}
        for name, (path, wanted) in asked.items():
            _judge(bars, name, await _timed(client, path, wanted))
        await _while_closing(stack, tenant, client, bars)
    return bars.missed


def _judge(bars: Bars, name: str, taken: list[float]) -> None:
    bars.report(f"{name}: p50", f"{taken[len(taken) // 2]:.1f} ms")
    bars.check(f"{name}: p95 in ms", taken[int(len(taken) * 0.95) - 1], _BAR_MS)


async def _while_closing(stack: Stack, tenant: UUID, client: httpx.AsyncClient, bars: Bars) -> None:
    """Ask while the validator closes a run's exceptions by itself, some thousand at a time."""
    connection = await asyncpg.connect(stack.postgres.url(database="regent"))
    told = {"run_id": str(_RUN), "report_id": str(UUID(int=9)), "phase": "input", "reason": "The run was cancelled."}
    try:
        before = await connection.fetchval(_CLOSED, tenant, _RUN)
        await connection.execute(_CLOSE, tenant, uuid4(), _RUN, json.dumps(told))
        while (first := await connection.fetchval(_CLOSED, tenant, _RUN)) == before:  # noqa: ASYNC110 - the validator's work
            await asyncio.sleep(0.1)
        started = time.perf_counter()
        for name in _WHILE_CLOSING:
            _judge(bars, f"list, {name}, while many close", await _timed(client, "/v1/exceptions", LISTS[name]))
        taken = await _timed(client, "/v1/exceptions/groups", {"run_id": str(_RUN)})
        _judge(bars, "groups, a run, while many close", taken)
        closed = await connection.fetchval(_CLOSED, tenant, _RUN) - first
        bars.report("closed meanwhile", f"{closed / (time.perf_counter() - started):,.0f} exceptions/s")
        still = await connection.fetchval(
            "SELECT count(*) FROM validator.job WHERE task = 'void' AND status = 'queued'"
        )
        bars.require("they were still being closed", holds=still == 1)
    finally:
        await connection.close()


async def _run(exceptions: int, data: Path) -> int:
    async with Stack(Configuration(data=data, port=free_port()), lambda _name, _line: None) as stack:
        return await measure(stack, exceptions)


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exceptions", type=int, default=1_000_000)
    options = parser.parse_args()
    print(f"exception queue over {options.exceptions:,} exceptions, {datetime.now(UTC):%Y-%m-%d}", flush=True)
    with tempfile.TemporaryDirectory(prefix="regent-bench-", ignore_cleanup_errors=True) as work:
        return 1 if asyncio.run(_run(options.exceptions, Path(work) / "data")) else 0


if __name__ == "__main__":
    sys.exit(main())
