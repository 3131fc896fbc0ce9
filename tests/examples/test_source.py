"""The example's source database, filled and read back."""

import asyncpg

from deploy.local.postgres import Postgres
from examples.broker_week.source import QUERY, load_into
from examples.broker_week.trades import Trade
from examples.broker_week.week import Answer, week


async def test_database_gives_the_week_in_its_order(postgres_server: Postgres) -> None:
    """The report's query returns every generated row, in order, with null for what is empty; the key comes along."""
    made = week(400)
    answers: list[Answer] = []
    wanted = [tuple(value or None for value in trade) for trade in made.trades(answers)]
    await _create_database(postgres_server, "broker_week")
    assert await load_into(made, postgres_server.url(database="broker_week")) == answers
    connection = await asyncpg.connect(postgres_server.url(database="broker_week"))
    try:
        rows = await connection.fetch(QUERY)
    finally:
        await connection.close()
    assert [tuple(row) for row in rows] == wanted
    assert tuple(rows[0].keys()) == Trade._fields


async def _create_database(server: Postgres, name: str) -> None:
    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
