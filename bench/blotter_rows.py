"""A deterministic blotter of any size, made inside PostgreSQL: the columns of a broker's trades."""

import asyncpg

COLUMNS = (
    "trade_id", "version", "action", "executed_at", "booked_at", "book", "trader", "algo", "side", "isin", "quantity",
    "price", "price_ccy", "venue", "venue_tx_id", "counterparty", "client", "capacity", "short_sale", "settlement_date",
)  # fmt: skip

_CREATE = """
CREATE TABLE {table} (
  trade_id text NOT NULL, version integer NOT NULL, action text NOT NULL, executed_at timestamptz NOT NULL,
  booked_at timestamptz, book text, trader text, algo text, side text, isin text, quantity bigint,
  price numeric(18,5), price_ccy text, venue text, venue_tx_id text, counterparty text, client text, capacity text,
  short_sale text, settlement_date date)"""

# h is a well mixed number of the row; each column takes other bits of it
_FILL = """
INSERT INTO {table}
SELECT 'T' || lpad(n::text, 9, '0'), 1 + (h % 3)::int, CASE h % 50 WHEN 0 THEN 'CANCEL' ELSE 'NEW' END,
  timestamptz '2025-03-10 07:00:00+00' + (h % 32400000000) * interval '1 microsecond',
  timestamptz '2025-03-10 07:00:00+00' + (h % 32400000000) * interval '1 microsecond' + interval '50 minutes',
  (ARRAY['EQ-CASH','EQ-PROG','EQ-PROP','BD-CASH'])[1 + (h / 7 % 4)::int],
  'TR' || lpad((h / 11 % 40)::text, 2, '0'),
  CASE WHEN h / 13 % 3 = 0 THEN 'ALGO' || (h / 17 % 9) END,
  CASE WHEN h / 19 % 2 = 0 THEN 'B' ELSE 'S' END,
  isins.list[1 + (h / 23 % 200)::int],
  1 + h / 29 % 100000,
  CASE WHEN h / 31 % 997 = 0 THEN -1 ELSE (h / 31 % 100000000)::numeric / 100000 + 0.01 END,
  (ARRAY['EUR','GBP','USD','CHF'])[1 + (h / 37 % 4)::int],
  (ARRAY['XLON','XETR','XPAR','XOFF','XSWX'])[1 + (h / 41 % 5)::int],
  'V' || lpad((h / 43 % 100000000000)::text, 11, '0'),
  'CP' || lpad((1 + h / 47 % 40)::text, 3, '0'),
  CASE WHEN h / 53 % 3 > 0 THEN 'CL' || lpad((1 + h / 59 % 90)::text, 4, '0') END,
  (ARRAY['AOTC','DEAL','MTCH'])[1 + (h / 61 % 3)::int],
  CASE WHEN h / 19 % 2 = 1 AND h / 67 % 4 = 0 THEN 'SELL' END,
  date '2025-03-12' + (h / 71 % 3)::int
FROM (SELECT n, hashint8extended(n, 20250310) & 4611686018427387903 AS h FROM generate_series(1, {rows}) AS s(n)) AS r,
  (SELECT array_agg('DE' || lpad((i * 7919 % 1000000000)::text, 9, '0') || (i % 10) ORDER BY i) AS list
   FROM generate_series(1, 200) AS g(i)) AS isins"""


async def fill(url: str, table: str, rows: int) -> None:
    """Create and fill the table, the same rows for the same number every time."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"DROP TABLE IF EXISTS {table}")
        await connection.execute(_CREATE.format(table=table))
        await connection.execute(_FILL.format(table=table, rows=int(rows)))
        await connection.execute(f"VACUUM ANALYZE {table}")
    finally:
        await connection.close()
