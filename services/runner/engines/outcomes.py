"""What became of the records that are not out, as sealed files sorted by key."""

from io import BytesIO
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from libs.expressions import quote_literal
from libs.expressions.fitting import Fitting, misfit_rows
from services.runner.engines.balance import Balance

_PARQUET = "(FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
_DISPOSITIONS: dict[str, pa.DataType] = {
    "_ordinal": pa.int64(),
    "key": pa.string(),
    "disposition": pa.string(),
    "rule_id": pa.string(),
}
_FAULTS: dict[str, pa.DataType] = {
    "_ordinal": pa.int64(),
    "key": pa.string(),
    "rule_id": pa.string(),
    "rule_version": pa.int32(),
    "severity": pa.string(),
    "outcome": pa.string(),
    "fields": pa.string(),
    "message": pa.string(),
}


def _empty(columns: dict[str, pa.DataType]) -> bytes:
    file = BytesIO()
    pq.ParquetWriter(file, pa.schema(columns), compression="zstd").close()  # not empty_table(): that imports pandas
    return file.getvalue()


_NO_DISPOSITIONS, _NO_FAULTS = _empty(_DISPOSITIONS), _empty(_FAULTS)  # made once, before the fork


def write_nothing(dispositions: Path, faults: Path) -> None:
    """Write both files for a transform that every record came out of: the engine needs longer to write no rows."""
    dispositions.write_bytes(_NO_DISPOSITIONS)
    faults.write_bytes(_NO_FAULTS)


def write_faults(
    engine: duckdb.DuckDBPyConnection, target: Path, values: str, fitting: Fitting, result: Balance
) -> None:
    """Judge the dropped records again, into the tables `filtered` and `unfit`; write the failures of the unfit ones."""
    engine.execute("CREATE TEMP TABLE filtered (_ordinal BIGINT, key VARCHAR)")
    engine.execute("""CREATE TEMP TABLE unfit (_ordinal BIGINT, key VARCHAR,
        fault STRUCT(rule_id VARCHAR, field VARCHAR, value VARCHAR, message VARCHAR))""")
    if result.dropped:
        engine.execute(
            f"INSERT INTO filtered SELECT v._ordinal, v._key FROM ({values}) AS v WHERE v._where IS NOT TRUE"
        )
    if result.dropped and fitting.misfits:
        engine.execute(f"""INSERT INTO unfit SELECT v._ordinal, v._key, unnest({misfit_rows(fitting.misfits)})
            FROM ({values}) AS v WHERE v._where IS TRUE""")
    engine.execute(f"""
        COPY (
          SELECT _ordinal, key, fault.rule_id AS rule_id, CAST(1 AS INTEGER) AS rule_version, 'blocking' AS severity,
            'fail' AS outcome, CAST(json_object(fault.field, fault.value) AS VARCHAR) AS fields,
            fault.message AS message
          FROM unfit ORDER BY key, _ordinal, rule_id
        ) TO {quote_literal(str(target))} {_PARQUET}""")


def write_dispositions(engine: duckdb.DuckDBPyConnection, target: Path) -> tuple[int, int]:
    """Write every record that is not out, sorted by key; return the numbers of filtered and of unfit records."""
    engine.execute(f"""
        COPY (
          SELECT _ordinal, key, 'held' AS disposition, rule_id FROM held
          UNION ALL SELECT _ordinal, key, 'filtered', CAST(NULL AS VARCHAR) FROM filtered
          UNION ALL SELECT _ordinal, min(key), 'held', min(fault.rule_id) FROM unfit GROUP BY _ordinal
          ORDER BY key, _ordinal
        ) TO {quote_literal(str(target))} {_PARQUET}""")
    row = engine.execute("SELECT (SELECT count(*) FROM filtered), (SELECT count(DISTINCT _ordinal) FROM unfit)")
    filtered, unfit = row.fetchall()[0]
    return int(filtered), int(unfit)
