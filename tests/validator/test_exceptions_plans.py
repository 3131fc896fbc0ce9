"""S32: every list of the queue reads an index in order and stops after a page, however long the queue is."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from deploy.local import postgres
from deploy.local.database import DATABASE
from libs.common.database.pool import Database
from libs.common.database.statements import render
from libs.common.http import pages
from services.validator.exceptions import filters, store
from services.validator.exceptions.evidence import NOTHING, term_of
from services.validator.exceptions.filters import Filter, Part
from tests.validator.queue import DAY, NOW, Queue

ROWS = 30_000
RUN, REPORT, USER, CAUSE, TENANT = (uuid4() for _ in range(5))
_FILL = """
INSERT INTO exception (tenant_id, run_id, report_id, business_date, phase, ordinal, key, rule_id, rule_version, rule_name,
                       outcome, fields, message, status, opened_at, evidence, grouped, assignee, resolution)
SELECT $1, $2, $3, $4, 'input', n, 'T' || n, 'r' || n % 7, 1, 'rule', 'fail', jsonb_build_object('venue', 'V' || n % 9),
       'wrong', CASE WHEN n % 10 = 0 THEN 'closed' ELSE 'open' END, $5::timestamptz - n * interval '1 second',
       CASE WHEN n % 9 = 0 THEN $6::uuid END, n % 9 = 0, CASE WHEN n % 11 = 0 THEN $7::uuid END,
       CASE WHEN n % 10 = 0 THEN 'reported' END
FROM generate_series(1, $8) n
"""
_TERMS = """
INSERT INTO exception_term SELECT tenant_id, $2, opened_at, id FROM exception WHERE tenant_id = $1 AND ordinal % 9 = 4
"""
_TALLY = """
INSERT INTO exception_tally SELECT $1, $2, 'r' || n % 7, 'input', CASE WHEN n < 7 THEN $3::uuid ELSE uuidv7() END, 'rule', 1,
                                   '{}', n, 0, 0, 0, 0 FROM generate_series(0, $4) n
"""


@pytest.fixture(scope="module")
async def filled(databases: dict[str, str], postgres_server: postgres.Postgres) -> str:
    """Fill a tenant's queue, as its own server would; returns the server role's URL."""
    connection = await asyncpg.connect(databases["validator_server"], server_settings={"search_path": "validator"})
    await connection.execute(f"SET app.tenant_id = '{TENANT}'")
    await connection.execute(_FILL, TENANT, RUN, REPORT, DAY, NOW, CAUSE, USER, ROWS)
    await connection.execute(_TERMS, TENANT, term_of("venue", "V4"))
    await connection.execute(_TALLY, TENANT, RUN, NOTHING, ROWS)
    await connection.close()
    await analysed(postgres_server)
    return databases["validator_server"]


async def analysed(server: postgres.Postgres) -> None:
    """Tell the engine what the tables hold."""
    admin = await asyncpg.connect(server.url(database=DATABASE))
    for table in ("exception", "exception_term", "exception_tally"):
        await admin.execute(f"VACUUM ANALYZE validator.{table}")
    await admin.close()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a plan's nodes."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


async def explained(queue: Queue, sql: str, *arguments: Any) -> dict[str, Any]:
    """Run a statement and return its plan with what it touched."""
    async with queue.transaction() as tx:
        (row,) = await tx.connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *arguments)
        plan: dict[str, Any] = row[0][0]["Plan"]
        return plan


def page(wanted: Filter, cursor: list[Any] | None) -> tuple[str, list[Any]]:
    """Return the statement of a list's page as the door runs it."""
    inner, arguments = render(filters.listed(wanted, NOW, Part(51, cursor or ())))
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
    ],
    ids=lambda wanted: "-".join(wanted) or "all",
)  # fmt: skip
async def test_a_page_reads_little(filled: str, queue: Queue, wanted: dict[str, Any], *, deep: bool) -> None:
    """The first page and one from the middle touch a few hundred blocks, and sort no more than a page."""
    async with Database.open(filled, service="validator", size=1) as database:
        here = Queue(database, queue.relay_url, queue.home, tenant=TENANT)
        cursor = [NOW.replace(hour=1), UUID(int=0)] if deep else None
        sql, arguments = page(Filter(**wanted), cursor)
        plan = await explained(here, sql, *arguments)
    kinds = {node["Node Type"] for node in nodes(plan)}
    assert "Seq Scan" not in kinds
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 1000, plan
    most = max(node["Actual Rows"] * node["Actual Loops"] for node in nodes(plan))
    assert most <= 400, kinds


async def test_groups_read_counts_not_exceptions(filled: str, queue: Queue) -> None:
    """Groups come from the counts: the rules' and, of each rule, the largest causes."""
    async with Database.open(filled, service="validator", size=1) as database:
        here = Queue(database, queue.relay_url, queue.home, tenant=TENANT)
        rules = await explained(here, store._GROUPS, TENANT, RUN, 600)
        names, phases = [f"r{n}" for n in range(7)], ["input"] * 7
        causes = await explained(here, store._CAUSES, TENANT, RUN, names, phases, 5)
        samples = await explained(here, store._OF_RUN, TENANT, RUN, names, phases, ["open"] * 7, 3)
    for plan in (rules, causes, samples):
        assert "Seq Scan" not in {node["Node Type"] for node in nodes(plan)}
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 400, plan


async def test_a_page_of_a_value_reads_little_where_most_tenants_have_little(
    filled: str, queue: Queue, postgres_server: postgres.Postgres
) -> None:
    """The engine expects of every tenant what tenants have on average; the list of one with far more stops all the same."""
    connection = await asyncpg.connect(filled, server_settings={"search_path": "validator"})
    for small in (uuid4() for _ in range(150)):
        await connection.execute(f"SET app.tenant_id = '{small}'")
        await connection.execute(_FILL, small, uuid4(), uuid4(), DAY, NOW, CAUSE, USER, 400)
        await connection.execute(_TERMS.replace("% 9 = 4", "> 0"), small, term_of("venue", "V4"))
    await connection.close()
    await analysed(postgres_server)
    await test_a_page_reads_little(filled, queue, {"field": "venue", "value": "V4"}, deep=False)
