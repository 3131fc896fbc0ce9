"""Queries that a reporting team writes, each with the same rule told by Python over the same records."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from libs.common.vocabulary.schemas import SchemaSpec

SCHEMA = SchemaSpec.model_validate(
    {
        "fields": [
            {"name": "id", "type": "text"},
            {"name": "version", "type": "integer"},
            {"name": "amount", "type": "decimal", "precision": 18, "scale": 2},
            {"name": "ccy", "type": "text"},
            {"name": "venue", "type": "text"},
            {"name": "action", "type": "text"},
            {"name": "booked", "type": "date"},
            {"name": "done_at", "type": "timestamp"},
            {"name": "ok", "type": "boolean"},
        ]
    }
)
NAMES = [field.name for field in SCHEMA.fields]
DAY = date(2026, 11, 20)
AS_OF = datetime(2026, 11, 21, 6, tzinfo=UTC)
VENUES = {"X": ("XLON", "GB"), "Y": ("XPAR", "FR"), "Z": ("XETR", "DE")}
RATES = {"EUR": "1", "USD": "0.92", "GBP": "1.17"}
_TEXTS = """
A1,1,100.00,EUR,X,NEWT,2026-11-19,2026-11-19T10:00:00Z,true
A1,2,150.50,EUR,X,MODI,2026-11-20,2026-11-20T10:00:00Z,true
A2,1,-5.00,USD,Y,NEWT,2026-11-20,2026-11-20T23:59:59Z,false
A3,1,,GBP,Q,NEWT,2026-11-18,2026-11-18T07:30:00Z,true
A4,1,2000000.00,JPY,Z,CANC,2026-11-20,2026-11-20T12:00:00Z,true
A5,,42.42,EUR,,NEWT,,2026-11-21T07:00:00Z,
A6,3,0.00,usd,X,NEWT,2025-02-28,2025-02-28T00:00:00Z,true
A6,3,0.00,usd,X,NEWT,2025-02-28,2025-02-28T00:00:00Z,true
B-7,1,99.99,EUR,Y,CANC,2026-11-19,2026-11-19T15:00:00Z,false
B-7,0,99.99,EUR,Y,NEWT,2026-11-19,2026-11-19T14:00:00Z,false
 C8,1,7.10,,Z,MODI,2026-12-01,,true
,1,1.00,EUR,X,NEWT,2026-11-20,2026-11-20T08:00:00Z,true
"""


@dataclass(frozen=True)
class Row:
    """One typed record."""

    ordinal: int
    id: str | None
    version: int | None
    amount: Decimal | None
    ccy: str | None
    venue: str | None
    action: str | None
    booked: date | None
    done_at: datetime | None
    ok: bool | None


def texts() -> list[dict[str, str | None]]:
    """Return the records as a file has them."""
    lines = [line.split(",") for line in _TEXTS.strip("\n").split("\n")]
    return [{name: value or None for name, value in zip(NAMES, line, strict=True)} for line in lines]


def rows() -> list[Row]:
    """Return the records typed."""
    return [_row(place, record) for place, record in enumerate(texts(), 1)]


def _row(place: int, record: dict[str, Any]) -> Row:
    typed: dict[str, Callable[[str], Any]] = {
        "version": int,
        "amount": Decimal,
        "booked": date.fromisoformat,
        "done_at": datetime.fromisoformat,
        "ok": "true".__eq__,
    }
    return Row(place, *(None if record[name] is None else typed.get(name, str)(record[name]) for name in NAMES))


def _count(all_rows: Sequence[Row], test: Callable[[Row], bool]) -> int:
    return sum(map(test, all_rows))


def _sum(all_rows: Sequence[Row], test: Callable[[Row], bool]) -> Decimal | None:
    found = [row.amount for row in all_rows if test(row) and row.amount is not None]
    return sum(found, Decimal(0)) if found else None


Told = Callable[[Row, Sequence[Row]], bool | None]

QUERIES: list[tuple[str, Told]] = [
    ("SELECT _ordinal FROM records WHERE amount <= 0", lambda r, _: r.amount is not None and r.amount <= 0),
    ("SELECT _ordinal FROM records WHERE amount IS NULL", lambda r, _: r.amount is None),
    ("select r._ordinal from records as r where r.ccy not in ('EUR', 'USD', 'GBP')", lambda r, _: r.ccy is not None and r.ccy not in RATES),
    ("SELECT _ordinal FROM records WHERE coalesce(venue, '') = ''", lambda r, _: r.venue is None),
    ("SELECT _ordinal FROM records WHERE NOT ok", lambda r, _: r.ok is False),
    ("SELECT _ordinal FROM records WHERE ok IS DISTINCT FROM true", lambda r, _: r.ok is not True),
    ("SELECT _ordinal FROM records WHERE booked > (SELECT business_date FROM run)", lambda r, _: r.booked is not None and r.booked > DAY),
    ("SELECT _ordinal FROM records WHERE done_at > (SELECT as_of FROM run)", lambda r, _: r.done_at is not None and r.done_at > AS_OF),
    (
        "SELECT r._ordinal FROM records r JOIN run ON r.booked < run.business_date - INTERVAL 365 DAY",
        lambda r, _: r.booked is not None and r.booked < DAY - timedelta(365),
    ),
    ("SELECT _ordinal FROM records WHERE CAST(done_at AS DATE) <> booked", lambda r, _: None not in (r.booked, r.done_at) and r.done_at.date() != r.booked),  # type: ignore[union-attr]
    ("SELECT _ordinal FROM records WHERE id LIKE 'B%'", lambda r, _: r.id is not None and r.id.startswith("B")),
    ("SELECT _ordinal FROM records WHERE trim(id) <> id", lambda r, _: r.id is not None and r.id.strip() != r.id),
    ("SELECT _ordinal FROM records WHERE NOT regexp_full_match(id, '[A-Z][0-9]+')", lambda r, _: r.id is not None and not (len(r.id) == 2 and r.id[0].isupper() and r.id[1].isdigit())),
    ("SELECT _ordinal FROM records WHERE upper(ccy) <> ccy", lambda r, _: r.ccy is not None and r.ccy.upper() != r.ccy),
    ("SELECT _ordinal FROM records WHERE length(id) > 2", lambda r, _: r.id is not None and len(r.id) > 2),
    ("SELECT _ordinal FROM records WHERE substring(action, 1, 1) IN ('C', 'M')", lambda r, _: r.action is not None and r.action[0] in "CM"),
    ("SELECT _ordinal FROM records WHERE version BETWEEN 2 AND 5", lambda r, _: r.version is not None and 2 <= r.version <= 5),
    ("SELECT _ordinal FROM records WHERE version % 2 = 0 OR version IS NULL", lambda r, _: r.version is None or r.version % 2 == 0),
    ("SELECT _ordinal FROM records WHERE round(amount, 0) <> amount", lambda r, _: r.amount is not None and r.amount != r.amount.to_integral_value()),
    ("SELECT _ordinal FROM records WHERE abs(amount) > 1000000", lambda r, _: r.amount is not None and abs(r.amount) > 1_000_000),
    (
        "SELECT _ordinal FROM records WHERE CASE action WHEN 'CANC' THEN ok ELSE amount > 100 END",
        lambda r, _: r.ok if r.action == "CANC" else r.amount is not None and r.amount > 100,
    ),
    ("SELECT _ordinal FROM records r WHERE NOT EXISTS (SELECT 1 FROM venues v WHERE v.key = r.venue)", lambda r, _: r.venue not in VENUES),
    ("SELECT r._ordinal FROM records r LEFT JOIN venues v ON v.key = r.venue WHERE v.key IS NULL AND r.venue IS NOT NULL", lambda r, _: r.venue is not None and r.venue not in VENUES),
    ("SELECT r._ordinal FROM records r ANTI JOIN venues v ON r.venue = v.key", lambda r, _: r.venue not in VENUES),
    ("SELECT r._ordinal FROM records r SEMI JOIN venues v ON r.venue = v.key AND v.country = 'GB'", lambda r, _: r.venue == "X"),
    (
        "SELECT r._ordinal FROM records r JOIN rates q ON q.key = r.ccy WHERE r.amount * CAST(q.rate AS DECIMAL(10,4)) > 120",
        lambda r, _: r.ccy in RATES and r.amount is not None and r.amount * Decimal(RATES[r.ccy or ""]) > 120,
    ),
    ("SELECT _ordinal FROM records WHERE ccy NOT IN (SELECT key FROM rates)", lambda r, _: r.ccy is not None and r.ccy not in RATES),
    ("SELECT _ordinal FROM records WHERE venue IN (SELECT key FROM venues WHERE country <> 'GB')", lambda r, _: r.venue in ("Y", "Z")),
    (
        "WITH d AS (SELECT id FROM records GROUP BY id HAVING count(*) > 1) SELECT r._ordinal FROM records r JOIN d ON d.id = r.id",
        lambda r, all_: r.id is not None and _count(all_, lambda o: o.id == r.id) > 1,
    ),
    (
        "SELECT _ordinal FROM records QUALIFY row_number() OVER (PARTITION BY id, version ORDER BY _ordinal) > 1",
        lambda r, all_: any((o.id, o.version) == (r.id, r.version) and o.ordinal < r.ordinal for o in all_),
    ),
    (
        "SELECT _ordinal FROM (SELECT _ordinal, count(*) OVER (PARTITION BY id) AS n FROM records) WHERE n = 1",
        lambda r, all_: _count(all_, lambda o: o.id == r.id) == 1,
    ),
    (
        "SELECT r._ordinal FROM records r JOIN (SELECT ccy, sum(amount) AS total FROM records GROUP BY ccy) t USING (ccy) WHERE t.total < 0",
        lambda r, all_: r.ccy is not None and (_sum(all_, lambda o: o.ccy == r.ccy) or 0) < 0,
    ),
    (
        "SELECT _ordinal FROM records WHERE amount > 10 * (SELECT avg(amount) FROM records WHERE amount < 1000)",
        lambda r, _: r.amount == 2_000_000,
    ),
    (
        "SELECT c._ordinal FROM records c WHERE c.action = 'CANC' AND NOT EXISTS (SELECT 1 FROM records n WHERE n.id = c.id AND n.action = 'NEWT')",
        lambda r, all_: r.action == "CANC" and not any(o.id == r.id and o.action == "NEWT" for o in all_),
    ),
    (
        "SELECT _ordinal FROM (SELECT _ordinal, version, lag(version) OVER (PARTITION BY id ORDER BY version) AS before FROM records) WHERE version - before > 1",
        lambda *_: False,
    ),
    (
        "SELECT _ordinal FROM records WHERE amount = (SELECT max(amount) FROM records)",
        lambda r, _: r.amount == 2_000_000,
    ),
    ("SELECT _ordinal FROM records WHERE ccy = 'EUR' UNION SELECT _ordinal FROM records WHERE ccy = 'USD'", lambda r, _: r.ccy in ("EUR", "USD")),
    ("SELECT _ordinal FROM records EXCEPT SELECT _ordinal FROM records WHERE ok", lambda r, _: r.ok is not True),
    ("SELECT _ordinal FROM records WHERE ok INTERSECT SELECT _ordinal FROM records WHERE action = 'NEWT'", lambda r, _: r.ok is True and r.action == "NEWT"),
    ("SELECT DISTINCT _ordinal, id FROM records WHERE id IS NULL ORDER BY _ordinal DESC LIMIT 100", lambda r, _: r.id is None),
    ("SELECT _ordinal FROM records WHERE date_diff('day', booked, DATE '2026-11-20') > 1", lambda r, _: r.booked is not None and (DAY - r.booked).days > 1),
    ("SELECT _ordinal FROM records WHERE extract(year FROM booked) = 2025", lambda r, _: r.booked is not None and r.booked.year == 2025),
    ("SELECT _ordinal FROM records WHERE year(booked) = 2026 AND month(booked) = 12", lambda r, _: r.booked == date(2026, 12, 1)),
    ("SELECT _ordinal FROM records WHERE dayofweek(booked) IN (0, 6)", lambda r, _: r.booked is not None and r.booked.isoweekday() in (6, 7)),
    ("SELECT _ordinal FROM records WHERE date_trunc('month', booked) = DATE '2026-11-01'", lambda r, _: r.booked is not None and (r.booked.year, r.booked.month) == (2026, 11)),
    ("SELECT _ordinal FROM records WHERE concat(id, '/', version) = 'A1/2'", lambda r, _: (r.id, r.version) == ("A1", 2)),
    ("SELECT _ordinal FROM records WHERE id || '-' || ccy = 'A2-USD'", lambda r, _: (r.id, r.ccy) == ("A2", "USD")),
    ("SELECT _ordinal FROM records WHERE TRY_CAST(replace(id, 'A', '') AS INTEGER) > 4", lambda r, _: r.id in ("A5", "A6")),
    ("SELECT _ordinal FROM records WHERE lpad(CAST(version AS VARCHAR), 3, '0') = '002'", lambda r, _: r.version == 2),
    ("SELECT _ordinal FROM records WHERE greatest(amount, 50) = 50", lambda r, _: r.amount is None or r.amount <= 50),
    ("SELECT _ordinal FROM records WHERE nullif(ccy, 'EUR') IS NULL", lambda r, _: r.ccy in (None, "EUR")),
    ("SELECT _ordinal FROM records WHERE contains(id, '-') AND starts_with(id, 'B')", lambda r, _: r.id == "B-7"),
    ("SELECT _ordinal FROM records -- no amount\nWHERE /* at all */ amount IS NULL", lambda r, _: r.amount is None),
    (
        "WITH first AS (SELECT id, min(_ordinal) AS place FROM records GROUP BY id), late AS (SELECT r._ordinal FROM records r JOIN first f ON f.id = r.id AND f.place < r._ordinal) SELECT _ordinal FROM late",
        lambda r, all_: any(o.id == r.id and o.ordinal < r.ordinal for o in all_ if r.id is not None),
    ),
    (
        "SELECT _ordinal FROM (SELECT *, rank() OVER (ORDER BY amount DESC NULLS LAST) AS place FROM records) WHERE place <= 2",
        lambda r, _: r.ordinal in (2, 5),
    ),
    ('SELECT "_ordinal" FROM "records" AS "r" WHERE "r"."id" = \'it\'\'s\'', lambda *_: False),
    ("SELECT _ordinal FROM records WHERE (ccy, venue) IN (SELECT 'EUR', 'X')", lambda r, _: (r.ccy, r.venue) == ("EUR", "X")),
    (
        "SELECT _ordinal FROM records r WHERE (SELECT count(*) FILTER (WHERE o.ok) FROM records o WHERE o.venue = r.venue) > 3",
        lambda r, all_: r.venue is not None and _count(all_, lambda o: o.venue == r.venue and o.ok is True) > 3,
    ),
    ("SELECT max(_ordinal) AS _ordinal FROM records GROUP BY id, version, amount HAVING count(*) > 1", lambda r, _: r.ordinal == 8),
]  # fmt: skip
