import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pyarrow.parquet as pq
import pytest

from deploy.local.postgres import Postgres
from libs.common.jail import JobServer
from libs.common.outbound import OutboundPolicy
from libs.common.vocabulary.connections import PostgresConnector
from services.runner.engines.errors import SourceError
from services.runner.engines.sealing import Extract
from services.runner.engines.workshop import workshop
from services.runner.sources.extract import extract_query
from tests.runner.datapath import rows_of, schema

AS_OF = datetime(2025, 3, 11, 6, tzinfo=UTC)


class Source:
    """A tenant's database with a role that may read, and the query that is put to it."""

    def __init__(self, jobs: JobServer, work: Path, connector: PostgresConnector, password: str) -> None:
        self.jobs, self.work, self.connector, self.password = jobs, work, connector, password

    async def extract(self, query: str, fields: dict[str, Any], **changes: Any) -> Extract:
        password = changes.pop("password", self.password)
        port = changes.get("port", self.connector.port)
        policy = changes.pop("policy", OutboundPolicy(allowed=frozenset({f"127.0.0.1:{port}"})))
        return await extract_query(
            self.jobs,
            connector=self.connector.model_copy(update=changes),
            password=password,
            query=query,
            schema=schema(**fields),
            business_date=date(2025, 3, 10),
            as_of=AS_OF,
            target=self.work / "extract.parquet",
            policy=policy,
        )

    async def refusal(self, query: str, fields: dict[str, Any], **changes: Any) -> SourceError:
        with pytest.raises(SourceError) as refused:
            await self.extract(query, fields, **changes)
        return refused.value


@pytest.fixture(scope="module")
async def jobs() -> AsyncIterator[JobServer]:
    """Yield a warm job server."""
    async with workshop() as running:
        yield running


@pytest.fixture(scope="module")
async def reader(postgres_server: Postgres) -> tuple[str, str]:
    """Return name and password of a role that may read one table and write to another."""
    name, password = f"reader_{secrets.token_hex(4)}", secrets.token_hex(8)
    connection = await asyncpg.connect(postgres_server.url())
    await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS trades AS SELECT n AS id, date '2025-03-01' + n AS day FROM generate_series(1, 20) s(n)"
    )
    await connection.execute("CREATE TABLE IF NOT EXISTS private_trades (id int)")
    await connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON trades TO {name}")
    await connection.execute("""
        CREATE OR REPLACE FUNCTION sneaky() RETURNS int LANGUAGE sql VOLATILE AS 'DELETE FROM trades; SELECT 1'""")
    await connection.close()
    return name, password


@pytest.fixture
def source(jobs: JobServer, tmp_path: Path, postgres_server: Postgres, reader: tuple[str, str]) -> Source:
    """Return the tenant's source."""
    assert postgres_server.port is not None
    connector = PostgresConnector(
        host="127.0.0.1", port=postgres_server.port, database="postgres", user=reader[0], tls="disable"
    )
    return Source(jobs, tmp_path, connector, reader[1])


async def test_values_arrive_with_their_types(source: Source) -> None:
    """Typed columns come typed, nulls are null, the empty text stays empty, more columns are ignored."""
    query = """SELECT 7::bigint AS i, 1.25::numeric(18,5) AS d, true AS b, date '2025-03-10' AS day, 'x' AS more,
        timestamptz '2025-03-10 10:00:00.5+02' AS at, ''::text AS empty, null::text AS nothing, E'a,"b"\\nü' AS odd"""
    fields = {
        "i": "integer", "d": "decimal", "b": "boolean", "day": "date", "at": "timestamp", "empty": "text",
        "nothing": "text", "odd": "text",
    }  # fmt: skip
    extract = await source.extract(query, fields)
    assert rows_of(extract.path) == [
        {
            "_ordinal": 1, "i": 7, "d": Decimal("1.25"), "b": True, "day": date(2025, 3, 10),
            "at": datetime(2025, 3, 10, 8, 0, 0, 500_000, tzinfo=UTC), "empty": "", "nothing": None, "odd": 'a,"b"\nü',
        }
    ]  # fmt: skip
    assert extract.column_types["d"] == "DECIMAL(28,10)"


async def test_rows_keep_the_querys_order(source: Source) -> None:
    """Ordinals follow the order in which the source gave the rows, across batches."""
    extract = await source.extract(
        "SELECT n AS a FROM generate_series(1, 300000) s(n) ORDER BY n DESC", {"a": "integer"}
    )
    table = pq.read_table(extract.path)
    assert extract.rows == 300_000
    assert table.column("_ordinal").to_pylist() == list(range(1, 300_001))
    assert table.column("a").to_pylist() == list(range(300_000, 0, -1))


async def test_long_records_are_read(source: Source) -> None:
    """A record that is longer than a block is read like any other, line feeds and quotes in it too."""
    query = """SELECT n AS a, CASE WHEN n = 2 THEN repeat(E'x"\ny,', 400000) ELSE 'short' END AS t
        FROM generate_series(1, 3) s(n)"""
    rows = rows_of((await source.extract(query, {"a": "integer", "t": "text"})).path)
    assert [row["a"] for row in rows] == [1, 2, 3]
    assert rows[1]["t"] == 'x"\ny,' * 400_000


async def test_endless_records_are_refused(source: Source) -> None:
    """A record beyond what is parsed at once fails the step in words."""
    refused = await source.refusal("SELECT repeat('x', 140000000) AS t", {"t": "text"})
    assert (refused.code, refused.retryable) == ("record-too-long", False)


async def test_bindings_are_the_runs_moment(source: Source) -> None:
    """`:business_date` and `:as_of` are the run's, with their types."""
    query = "SELECT id, :as_of AS at FROM trades WHERE day <= :business_date AND :as_of < now()"
    rows = rows_of((await source.extract(query, {"id": "integer", "at": "timestamp"})).path)
    assert [row["id"] for row in rows] == list(range(1, 10))
    assert rows[0]["at"] == AS_OF


async def test_no_rows_are_an_empty_extract(source: Source) -> None:
    """A day without trades is a dataset, not an error."""
    extract = await source.extract("SELECT id FROM trades WHERE false", {"id": "integer"})
    assert (extract.rows, rows_of(extract.path)) == (0, [])


@pytest.mark.parametrize("place", [1, 250_000])
async def test_numbers_that_no_decimal_takes_are_kept_as_text(source: Source, place: int) -> None:
    """NaN, wherever it stands, turns its column into raw text: the record is judged, not the run."""
    query = (
        f"SELECT n AS a, CASE WHEN n = {place} THEN 'NaN'::numeric ELSE n END AS d FROM generate_series(1, 300000) s(n)"
    )
    extract = await source.extract(query, {"a": "integer", "d": "decimal"})
    assert extract.column_types == {"a": "BIGINT", "d": "VARCHAR"}
    assert pq.read_table(extract.path).column("d")[place - 1].as_py() == "NaN"
    assert extract.rows == 300_000


async def test_digits_are_never_lost(source: Source) -> None:
    """A number with more digits than the field has stays as the text that it was, two such columns too."""
    query = "SELECT 1.12345678901::numeric AS d, 1e30::numeric AS e, 1 AS i"
    extract = await source.extract(query, {"d": "decimal", "e": "decimal", "i": "integer"})
    row = rows_of(extract.path)[0]
    assert (row["d"], row["e"]) == ("1.12345678901", "1" + "0" * 30)


@pytest.mark.parametrize(
    ("query", "fields", "code"),
    [
        ("SELECT id FROM trades", {"nope": "integer"}, "missing-column"),
        ("SELECT true AS a", {"a": "date"}, "type-mismatch"),
        ("SELECT '\\x00'::bytea AS a", {"a": "text"}, "type-mismatch"),
        ("SELECT nope FROM trades", {"nope": "integer"}, "query-refused"),
        ("SELECT id FROM nowhere", {"id": "integer"}, "query-refused"),
        ("SELECT pg_sleep(1) AS a", {"a": "text"}, "query-refused"),
        ("SELECT id FROM private_trades", {"id": "integer"}, "not-permitted"),
        ("SELECT 1 / (id - 20) AS a FROM trades", {"a": "integer"}, "source-failed"),
    ],
)
async def test_what_goes_wrong_is_said_by_kind(source: Source, query: str, fields: dict[str, Any], code: str) -> None:
    """Missing columns, wrong types, refused queries and failing ones each have a code, and no retry helps."""
    error = await source.refusal(query, fields)
    assert error.code == code
    assert not error.retryable


async def test_functions_cannot_write_either(source: Source, postgres_server: Postgres) -> None:
    """The transaction is read-only: a function of the tenant's that deletes is refused by the database."""
    error = await source.refusal("SELECT sneaky() AS a", {"a": "integer"})
    assert error.code == "query-refused"
    assert "read-only" in error.message
    connection = await asyncpg.connect(postgres_server.url())
    assert await connection.fetchval("SELECT count(*) FROM trades") == 20
    await connection.close()


async def test_long_queries_are_stopped(source: Source) -> None:
    """The statement time-out of the connector ends the query at the source; another try may do."""
    query = "SELECT count(*) AS a FROM generate_series(1, 2000000000) s(n)"
    error = await source.refusal(query, {"a": "integer"}, statement_timeout_seconds=1)
    assert (error.code, error.retryable) == ("timeout", True)


async def test_cancelling_ends_the_query_at_the_source(source: Source, postgres_server: Postgres) -> None:
    """A cancelled extraction leaves no query running."""
    query = "SELECT n AS a FROM generate_series(1, 2000000000) s(n)"
    task = asyncio.create_task(source.extract(query, {"a": "integer"}))
    connection = await asyncpg.connect(postgres_server.url())
    running = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND state = 'active'"
    await _until(connection, running, source.connector.user, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _until(connection, running, source.connector.user, 0)
    await connection.close()


async def _until(connection: Any, query: str, user: str, count: int) -> None:
    async with asyncio.timeout(20):
        while await connection.fetchval(query, user) != count:  # noqa: ASYNC110 - the database sends no event
            await asyncio.sleep(0.05)


async def test_wrong_password_and_database_are_told_apart(source: Source) -> None:
    """The message names the user or the database, never the password."""
    error = await source.refusal("SELECT 1 AS a", {"a": "integer"}, password="wr0ng-secret")
    assert error.code == "login-refused"
    assert "wr0ng-secret" not in error.message
    assert (await source.refusal("SELECT 1 AS a", {"a": "integer"}, database="nowhere")).code == "database-missing"


async def test_tls_is_demanded(source: Source) -> None:
    """A server without TLS does not get the password of a connector that requires it."""
    assert (await source.refusal("SELECT 1 AS a", {"a": "integer"}, tls="require")).code == "tls-failed"


async def test_a_closed_port_can_be_retried(source: Source) -> None:
    """Nobody listening is trouble that may pass."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = await source.refusal("SELECT 1 AS a", {"a": "integer"}, port=unused.getsockname()[1])
    assert (error.code, error.retryable) == ("unreachable", True)


async def test_private_addresses_need_the_operator(source: Source) -> None:
    """Without the operator's word the source on this machine is out of reach."""
    assert (await source.refusal("SELECT 1 AS a", {"a": "integer"}, policy=OutboundPolicy())).code == "outbound-refused"
