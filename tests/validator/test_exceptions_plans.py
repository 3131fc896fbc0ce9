"""S32: every list of the queue reads an index in order and stops after a page, however long the queue is."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from deploy.local import postgres
from deploy.local.database import DATABASE
from libs.common.database.pool import Database
from libs.common.database.statements import render
from libs.common.http import pages
from services.validator.exceptions import changing, filters, store, tally, unsealed
from services.validator.exceptions.evidence import NOTHING, term_of
from services.validator.exceptions.filters import Asker, Filter, Part
from services.validator.exceptions.unsealed import Judged
from tests.validator.queue import DAY, NOW, Queue

ROWS = 30_000
RUN, OLD_RUN, REPORT, USER, CAUSE, TENANT, NOBODY = (uuid4() for _ in range(7))
# of a tenant, or of many alike that each have a run and a report of their own
_FILL = """
INSERT INTO exception (tenant_id, run_id, report_id, business_date, phase, ordinal, key, rule_id, rule_version, rule_name,
                       outcome, fields, message, status, opened_at, evidence, grouped, assignee, resolution)
SELECT t, coalesce($2, t), coalesce($3, t), $4, 'input', n, 'T' || n, 'r' || n % 7, 1, 'rule', 'fail',
       jsonb_build_object('venue', 'V' || n % 9), 'wrong', CASE WHEN n % 10 = 0 THEN 'closed' ELSE 'open' END,
       $5::timestamptz - n * interval '1 second', CASE WHEN n % 9 = 0 THEN $6::uuid END, n % 9 = 0,
       CASE WHEN n % 11 = 0 THEN $7::uuid END, CASE WHEN n % 10 = 0 THEN 'reported' END
FROM unnest($1::uuid[]) t, generate_series(1, $8) n
"""
_TERMS = """
INSERT INTO exception_term
SELECT tenant_id, $2, opened_at, id FROM exception WHERE tenant_id = ANY($1::uuid[]) AND ordinal % 9 = 4
"""
_TALLY = """
INSERT INTO exception_tally SELECT $1, $2, 'r' || n % 7, 'input', CASE WHEN n < 7 THEN $3::uuid ELSE uuidv7() END, 'rule', 1,
                                   '{}', n, 0, 0, 0, 0 FROM generate_series(0, $4) n
"""
_JOBS = """
INSERT INTO job (tenant_id, request_id, run_id, request, status, created_at, ended_at)
SELECT t, uuidv7(), uuidv7(), jsonb_build_object('phase', 'input', 'report_id', $2::text), $5::text, $3::timestamptz,
       CASE WHEN $5 <> 'queued' THEN $3 END
FROM unnest($1::uuid[]) t, generate_series(1, $4)
"""
WAITING = 1000
"""Other tenants of which validations wait."""
_OTHERS = {"alone": (0, 0), "among-hundreds": (150, 400), "among-thousands": (3000, 10)}


@pytest.fixture(scope="module")
async def admin(postgres_server: postgres.Postgres) -> AsyncIterator[Any]:
    """Yield a connection that may write for every tenant."""
    connection = await asyncpg.connect(
        postgres_server.url(database=DATABASE), server_settings={"search_path": "validator"}
    )
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
async def large(databases: dict[str, str], admin: Any) -> str:
    """Fill a tenant's queue; returns the server role's URL."""
    await admin.execute(_FILL, [TENANT], RUN, REPORT, DAY, NOW, CAUSE, USER, ROWS)
    before = NOW - timedelta(days=1)
    await admin.execute(_FILL, [TENANT], OLD_RUN, REPORT, DAY - timedelta(days=1), before, CAUSE, USER, 300)
    await admin.execute(_TERMS, [TENANT], term_of("venue", "V4"))
    await admin.execute(_TALLY, TENANT, RUN, NOTHING, ROWS)
    return databases["validator_server"]


@pytest.fixture(scope="module", params=_OTHERS.values(), ids=_OTHERS)
async def filled(request: pytest.FixtureRequest, large: str, admin: Any) -> str:
    """Put small tenants beside the large one: the engine knows what tenants have on average, and that is little then."""
    tenants, rows = request.param
    small = [uuid4() for _ in range(tenants)]
    await admin.execute(_FILL, small, None, None, DAY, NOW, CAUSE, USER, rows)
    await admin.execute(_TERMS, small, term_of("venue", "V4"))
    for table in ("exception", "exception_term", "exception_tally"):
        await admin.execute(f"VACUUM ANALYZE validator.{table}")
    return large


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a plan's nodes."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


async def explained(queue: Queue, sql: str, *arguments: Any, in_order: bool = True) -> dict[str, Any]:
    """Run a statement as the door does and return its plan with what it touched."""
    async with queue.transaction() as tx:
        if in_order:
            await store.read_in_order(tx)
        (row,) = await tx.connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *arguments)
        plan: dict[str, Any] = row[0][0]["Plan"]
        return plan


def page(wanted: Filter, cursor: list[Any] | None) -> tuple[str, list[Any]]:
    """Return the statement of a list's page as the door runs it, while the newest run is judged."""
    asker = Asker(TENANT, NOW, judging=[Judged(RUN, str(REPORT), "input")])
    inner, arguments = render(filters.listed(wanted, asker, Part(51, cursor or ())))
    names = ("opened_at", "id")
    sql = pages._page_sql(inner, len(arguments), names, from_cursor=cursor is not None, descending=True)
    return sql, [*arguments, *(cursor or []), 50, 0]


@pytest.mark.parametrize("deep", [False, True], ids=["first", "deep"])
@pytest.mark.parametrize(
    "wanted",
    [
        {}, {"status": "open"}, {"run_id": RUN}, {"run_id": RUN, "status": "closed"}, {"run_id": RUN, "rule_id": "r3"},
        {"run_id": RUN, "rule_id": "r3", "status": "open"}, {"report_id": REPORT}, {"report_id": REPORT, "rule_id": "r1"},
        {"rule_id": "r2"}, {"business_date": DAY}, {"assignee": USER}, {"cause": CAUSE}, {"key": "T77"},
        {"field": "venue", "value": "V4"}, {"older_than": 20_000}, {"status": "open", "older_than": "PT2H"},
        {"unassigned": True}, {"unassigned": True, "status": "open", "run_id": RUN}, {"phase": "input"}, {"phase": "output"},
        {"assignee": NOBODY, "status": "open"}, {"run_id": NOBODY}, {"rule_id": "none", "run_id": RUN},
        {"run_id": OLD_RUN}, {"run_id": OLD_RUN, "rule_id": "r3"}, {"business_date": DAY - timedelta(days=1)},
    ],
    ids=lambda wanted: "-".join(wanted) or "all",
)  # fmt: skip
async def test_a_page_reads_little(filled: str, queue: Queue, wanted: dict[str, Any], *, deep: bool) -> None:
    """The first page and one from the middle touch a few hundred blocks, and sort no more than a page, whoever else is there."""
    async with Database.open(filled, service="validator", size=1) as database:
        here = Queue(database, queue.relay_url, queue.home, tenant=TENANT)
        cursor = [NOW.replace(hour=1), UUID(int=0)] if deep else None
        sql, arguments = page(Filter(**wanted), cursor)
        plan = await explained(here, sql, *arguments)
    kinds = {node["Node Type"] for node in nodes(plan)}
    assert not kinds & {"Seq Scan", "Bitmap Heap Scan"}
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 1000, plan
    most = max(node["Actual Rows"] * node["Actual Loops"] for node in nodes(plan))
    assert most <= 400, kinds


async def test_groups_read_counts_not_exceptions(filled: str, queue: Queue) -> None:
    """Groups come from the counts: the rules' and, of each rule, the largest causes."""
    async with Database.open(filled, service="validator", size=1) as database:
        here = Queue(database, queue.relay_url, queue.home, tenant=TENANT)
        rules = await explained(here, store._GROUPS, TENANT, RUN, 600, in_order=False)
        names, phases = [f"r{n}" for n in range(7)], ["input"] * 7
        causes = await explained(here, store._CAUSES, TENANT, RUN, names, phases, 5)
        samples = await explained(here, store._OF_RUN, TENANT, RUN, names, phases, ["open"] * 7, 3)
    for plan in (rules, causes, samples):
        assert "Seq Scan" not in {node["Node Type"] for node in nodes(plan)}
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 400, plan


@pytest.mark.parametrize("analyzed", ["before", "meanwhile"])
async def test_what_is_judged_is_found_among_all_that_is_and_was(
    large: str, admin: Any, queue: Queue, analyzed: str
) -> None:
    """A list asks which runs are being judged: it reads these, neither the tenant's history nor what of others waits.

    The engine may have looked at the table when nothing waited.
    """
    await admin.execute("DELETE FROM job")  # of tests before this one
    await admin.execute(_JOBS, [TENANT], str(REPORT), NOW, ROWS, "done")
    waiting = ([uuid4() for _ in range(WAITING)], str(REPORT), NOW, 3, "queued")
    if analyzed == "before":
        await admin.execute("VACUUM ANALYZE validator.job")
    await admin.execute(_JOBS, *waiting)
    await admin.execute(_JOBS, [TENANT], str(REPORT), NOW, 2, "queued")
    if analyzed == "meanwhile":
        await admin.execute("VACUUM ANALYZE validator.job")
    async with Database.open(large, service="validator", size=1) as database:
        here = Queue(database, queue.relay_url, queue.home, tenant=TENANT)
        plan = await explained(here, unsealed._JUDGING, TENANT, in_order=False)
    await admin.execute("DELETE FROM job WHERE status = 'queued'")
    assert "Seq Scan" not in {node["Node Type"] for node in nodes(plan)}
    assert plan["Actual Rows"] == 2
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 20, plan


async def test_many_are_held_and_changed_by_their_ids(filled: str, queue: Queue) -> None:
    """An action on many reads these, not all that the tenant has, whoever else is there."""
    async with Database.open(filled, service="validator", size=1) as database:
        here = Queue(database, queue.relay_url, queue.home, tenant=TENANT)
        found = await here.fetch("SELECT id FROM exception WHERE run_id = $1 AND status = 'open' LIMIT 300", OLD_RUN)
        ids = [row["id"] for row in found]
        held = render(filters.held(TENANT, ids, ("id", "status"), filters.among(("open", "waived"))))
        values = {"changed_at": NOW}
        alike = render(changing._updated(TENANT, ids, values, {}))
        each = render(changing._updated(TENANT, ids, values, {"decision_id": ids, "proposal_id": [None] * len(ids)}))
        for sql, arguments in (held, alike, each, (tally._MOVED, [TENANT, ids, "amended"])):
            plan = await explained(here, sql, *arguments, in_order=False)
            read = {node.get("Index Name", node["Node Type"]) for node in nodes(plan) if "Scan" in node["Node Type"]}
            assert read - {"Bitmap Heap Scan", "Function Scan"} == {"exception_pkey"}, sql
