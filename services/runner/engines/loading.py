"""What the validator said of an extract's records, as tables of the engine."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from libs.expressions import quote_identifier, quote_literal


def load_held(engine: duckdb.DuckDBPyConnection, failures: Sequence[Path]) -> int:
    """Load the records with a blocking failure into the table `held`; return how many they are."""
    engine.execute("CREATE TEMP TABLE held (_ordinal BIGINT, key VARCHAR, rule_id VARCHAR)")
    if not failures:
        return 0
    files = ", ".join(quote_literal(str(path)) for path in failures)
    inserted = engine.execute(f"""
        INSERT INTO held SELECT _ordinal, min(key), min(rule_id) FROM read_parquet([{files}])
        WHERE severity = 'blocking' GROUP BY _ordinal""")
    return int(inserted.fetchall()[0][0])


def load_corrections(engine: duckdb.DuckDBPyConnection, corrections: Path | None) -> dict[str, str]:
    """Load the last correction of each field and record; return the table of each corrected field."""
    if corrections is None:
        return {}
    source = f"read_parquet({quote_literal(str(corrections))}, file_row_number = true)"
    fields = [row[0] for row in engine.execute(f"SELECT DISTINCT field FROM {source} ORDER BY field").fetchall()]
    for field in fields:
        engine.execute(f"""
            CREATE TEMP TABLE {quote_identifier(f"corrected_{field}")} AS
            SELECT _ordinal, last(new_value ORDER BY file_row_number) AS new_value
            FROM {source} WHERE field = {quote_literal(field)} GROUP BY _ordinal""")
    return {field: f"corrected_{field}" for field in fields}
