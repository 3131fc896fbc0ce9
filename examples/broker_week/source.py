"""The source database: a broker's booking tables, filled with COPY."""

import asyncpg

from examples.broker_week import parties
from examples.broker_week.trades import Trade
from examples.broker_week.week import Answer, Week

_TRADES = ",\n  ".join(f"{column} text" for column in Trade._fields)

DDL = f"""
CREATE TABLE instruments (
  isin text PRIMARY KEY, name text NOT NULL, cfi text NOT NULL, currency text NOT NULL, mic text NOT NULL, country text NOT NULL
);
CREATE TABLE counterparties (
  code text NOT NULL, name text NOT NULL, lei text NOT NULL, country text NOT NULL, valid_from text NOT NULL,
  valid_to text NOT NULL, PRIMARY KEY (code, valid_from)
);
CREATE TABLE clients (
  code text PRIMARY KEY, first_name text NOT NULL, last_name text NOT NULL, birth_date text NOT NULL, nationality text NOT NULL
);
CREATE TABLE trades (
  line bigint PRIMARY KEY,
  {_TRADES}
);
"""
"""Trades are text as the booking system exported them (an absent value is null); `line` is the export's order."""

QUERY = f"SELECT {', '.join(Trade._fields)} FROM trades ORDER BY line"
"""What the report reads: all rows of the export, in its order."""


async def load(connection: asyncpg.Connection, week: Week) -> list[Answer]:
    """Create the tables and fill them in one transaction; return the answer key."""
    answers: list[Answer] = []
    rows = ((line, *(value or None for value in trade)) for line, trade in enumerate(week.trades(answers), start=1))
    async with connection.transaction():
        await connection.execute(DDL)
        await connection.copy_records_to_table(
            "instruments", records=week.instruments, columns=parties.Instrument._fields
        )
        await connection.copy_records_to_table(
            "counterparties", records=week.counterparties, columns=parties.Counterparty._fields
        )
        await connection.copy_records_to_table("clients", records=week.clients, columns=parties.Client._fields)
        await connection.copy_records_to_table("trades", records=rows, columns=("line", *Trade._fields))
    return answers


async def load_into(week: Week, dsn: str, password: str | None = None) -> list[Answer]:
    """Connect, load, disconnect; return the answer key. The password is no part of the DSN."""
    connection = await asyncpg.connect(dsn, password=password)
    try:
        return await load(connection, week)
    finally:
        await connection.close()
