"""What a validation counts beside its verdicts: values given, by field, and records that failed, by field and rule."""

from collections.abc import Iterable, Mapping
from typing import Any

import duckdb

from libs.expressions import quote_identifier, quote_literal
from services.validator.checks import Condition, Plan, SetCheck

# What the file itself says of its columns: nulls, and whether the empty text can be among the values.
_STATISTICS = """
SELECT path_in_schema, sum(num_values - stats_null_count)::BIGINT,
       bool_and(stats_null_count IS NOT NULL AND (type <> 'BYTE_ARRAY' OR stats_null_count = num_values OR stats_min_value > ''))
FROM parquet_metadata({}) GROUP BY path_in_schema
"""


def measure(engine: duckdb.DuckDBPyConnection, path: str, plan: Plan, *, failures: str | None) -> dict[str, Any]:
    """Return the counts; `failures` is SQL of the table of failures, None where there are none.

    Values are counted from the file's statistics, without a look at the data; only columns that may hold empty texts,
    which are no values, are read.
    """
    given = _given(engine, path, sorted(plan.texts))
    failed = _failed_by_field(engine, plan, failures) if failures else {}
    severities, rules = _failed_records(engine, failures) if failures else ({}, {})
    return {
        "warned": severities.get("warning", 0),
        "corrected": severities.get("correctable", 0),
        "rules": rules,
        "fields": [{"name": name, "given": given[name], "failed": failed.get(name, 0)} for name in sorted(given)],
    }


def _given(engine: duckdb.DuckDBPyConnection, path: str, names: Iterable[str]) -> dict[str, int]:
    found = engine.execute(_STATISTICS.format(quote_literal(path))).fetchall()
    told = {name: count for name, count, certain in found if certain}
    unsure = [name for name in names if name not in told]
    if unsure:
        counts = ", ".join(f"count(nullif(CAST({quote_identifier(name)} AS VARCHAR), ''))" for name in unsure)
        row = engine.execute(f"SELECT {counts} FROM extract").fetchone()
        told |= dict(zip(unsure, row or (), strict=True))
    return {name: told[name] for name in names}


def _failed_records(engine: duckdb.DuckDBPyConnection, failures: str) -> tuple[dict[str, int], dict[str, int]]:
    severities = engine.execute(
        f"SELECT severity, count(DISTINCT _ordinal) FROM {failures} GROUP BY severity"
    ).fetchall()
    rules = engine.execute(f"SELECT rule_id, count(*) FROM {failures} GROUP BY rule_id").fetchall()
    return dict(severities), dict(rules)


def _failed_by_field(engine: duckdb.DuckDBPyConnection, plan: Plan, failures: str) -> Mapping[str, int]:
    checks: list[Condition | SetCheck] = [*plan.conditions, *plan.set_checks]
    pairs = {(check.rule_id, name) for check in checks for name in check.fields}
    if not pairs:
        return {}
    values = ", ".join(f"({quote_literal(rule)}, {quote_literal(name)})" for rule, name in sorted(pairs))
    query = f"""
        SELECT named.field, count(DISTINCT _ordinal) FROM {failures}
        JOIN (VALUES {values}) AS named (rule_id, field) USING (rule_id) GROUP BY named.field"""
    return dict(engine.execute(query).fetchall())
