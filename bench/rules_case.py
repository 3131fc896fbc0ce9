"""The records and the rules that all sides of the rules benches judge."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pyarrow.parquet as pq

from libs.common.vocabulary.rules import ExpressionCheck, RuleSpec
from libs.common.vocabulary.schemas import SchemaSpec
from libs.expressions import Moment
from services.runner.engines.parquet import write_parquet
from services.validator.columns import column_type
from services.validator.plan import Plan, ResolvedRule, Subject, build_plan

TYPES = {
    "trade_id": "text", "version": "integer", "side": "text", "isin": "text", "quantity": "integer",
    "price": "decimal", "ccy": "text", "venue": "text", "booked": "date", "settled": "date",
}  # fmt: skip
MOMENT = Moment(date(2026, 3, 6), datetime(2026, 3, 9, tzinfo=UTC))
SCHEMA_ID = UUID(int=1)
_BATCH = 8192

# Pseudo-random by hash, so that every size has the same shape: some 0.1 % fail each rule, some 0.1 % are null here and
# there, some 0.1 % have the id of the record before.
GENERATE = """
    SELECT n AS _ordinal,
        CASE WHEN h % 997 = 1 THEN 'T' || n ELSE 'T' || lpad((n - (h % 1063 = 1)::INTEGER)::VARCHAR, 9, '0') END AS trade_id,
        CASE WHEN h % 1009 = 1 THEN 0 ELSE 1 + h % 3 END AS version,
        CASE WHEN h % 1013 = 1 THEN 'X' WHEN h % 1019 = 3 THEN NULL WHEN h % 2 = 0 THEN 'B' ELSE 'S' END AS side,
        CASE WHEN h % 1021 = 1 THEN 'de000bad' ELSE 'DE' || lpad((h % 1000000000)::VARCHAR, 9, '0') || h % 10 END AS isin,
        CASE WHEN h % 1031 = 1 THEN -1 WHEN h % 1033 = 3 THEN NULL ELSE 1 + (h >> 8) % 1000900 END AS quantity,
        (CASE WHEN h % 1039 = 1 THEN 0 ELSE 1 + (h >> 16) % 1000000 END / 100)::DECIMAL(18, 4) AS price,
        ['EUR', 'USD', 'GBP', 'CHF', 'XXX'][CASE WHEN h % 1049 = 1 THEN 5 ELSE 1 + (h >> 4) % 4 END] AS ccy,
        ['XLON', 'XETR', 'XPAR', 'XSWX', 'NONE'][CASE WHEN h % 1051 = 1 THEN 5 ELSE 1 + (h >> 6) % 4 END] AS venue,
        DATE '2026-03-01' + ((h >> 5) % 5)::INTEGER AS booked,
        DATE '2026-03-01' + ((h >> 5) % 5 + CASE WHEN h % 1061 = 1 THEN -1 ELSE 2 END)::INTEGER AS settled
    FROM (SELECT range AS n, (hash(range) >> 1)::BIGINT AS h FROM range(1, ? + 1))
"""

# Ten plain checks; `k` from 0 to 4 makes five different ones of each.
_CHECKS: dict[str, Callable[[int], str]] = {
    "price": lambda k: f"price > {k}",
    "quantity": lambda k: f"quantity > {k}",
    "large": lambda k: f"quantity < {1_000_000 - k}",
    "version": lambda k: f"version >= 1 and version <= {9 - k}",
    "side": lambda k: f"side in ('B', 'S', 'Q{k}')",
    "ccy": lambda k: f"ccy in ('EUR', 'USD', 'GBP', 'CHF', 'Q{k}')",
    "venue": lambda k: f"venue in ('XLON', 'XETR', 'XPAR', 'XSWX', 'Q{k}')",
    "isin": lambda k: f"matches(isin, '[A-Z]{{2}}[A-Z0-9]{{9}}[0-9{k}]')",
    "id": lambda k: f"length(trade_id) >= {10 - k}",
    "dates": lambda k: f"settled >= booked and settled <= date('2026-04-1{k}')",
}
Record = Mapping[str, Any]
PYTHON: dict[str, Callable[[Record], bool | None]] = {
    "price_0": lambda r: None if r["price"] is None else r["price"] > 0,
    "quantity_0": lambda r: None if r["quantity"] is None else r["quantity"] > 0,
    "large_0": lambda r: None if r["quantity"] is None else r["quantity"] < 1_000_000,
    "version_0": lambda r: None if r["version"] is None else 1 <= r["version"] <= 9,
    "side_0": lambda r: None if r["side"] is None else r["side"] in {"B", "S", "Q0"},
    "ccy_0": lambda r: None if r["ccy"] is None else r["ccy"] in {"EUR", "USD", "GBP", "CHF", "Q0"},
    "venue_0": lambda r: None if r["venue"] is None else r["venue"] in {"XLON", "XETR", "XPAR", "XSWX", "Q0"},
    "isin_0": lambda r: None if r["isin"] is None else _is_isin(r["isin"]),
    "id_0": lambda r: None if r["trade_id"] is None else len(r["trade_id"]) >= _ID_LENGTH,
    "dates_0": lambda r: r["booked"] <= r["settled"] <= date(2026, 4, 10),
}
"""The ten as a person would write them in Python; None is neither."""

_LETTERS, _DIGITS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), frozenset("0123456789")
_ISIN_LENGTH, _ID_LENGTH = 12, 10


def _is_isin(text: str) -> bool:
    return (
        len(text) == _ISIN_LENGTH
        and _LETTERS.issuperset(text[:2])
        and (_LETTERS | _DIGITS).issuperset(text[2:11])
        and text[11] in _DIGITS
    )


def schema() -> SchemaSpec:
    """Return the schema of the records."""
    return SchemaSpec.model_validate({"fields": [{"name": name, "type": kind} for name, kind in TYPES.items()]})


def rules(count: int) -> list[ResolvedRule]:
    """Return ten rules, or up to fifty: the same ten with other constants."""
    texts = {f"{name}_{k}": text(k) for k in range(5) for name, text in _CHECKS.items()}
    return [
        ResolvedRule(id=name, version=1, spec=RuleSpec(schema_id=SCHEMA_ID, check=ExpressionCheck(expression=text)))
        for name, text in list(texts.items())[:count]
    ]


def plan(data: Path, chosen: list[ResolvedRule]) -> Plan:
    """Plan rules over a file, as a run does."""
    types = {field.name: column_type(str(field.type)) for field in pq.read_schema(data)}
    subject = Subject(source=schema(), column_types=types, business_key=("trade_id", "version"))
    return build_plan(subject, chosen, {}, MOMENT)


def generate(data: Path, rows: int) -> None:
    """Write the records as the runner writes those of a table."""
    with duckdb.connect() as engine:
        reader = engine.sql(GENERATE, params=[rows]).to_arrow_reader(_BATCH)
        write_parquet(data, reader.schema, reader)


def rewrite(data: Path) -> None:
    """Write the records anew as the engine does when nobody tells it how."""
    plain = data.with_suffix(".plain")
    with duckdb.connect() as engine:
        engine.execute(f"COPY (FROM read_parquet('{data}')) TO '{plain}' (FORMAT parquet, COMPRESSION zstd)")
    plain.rename(data)
