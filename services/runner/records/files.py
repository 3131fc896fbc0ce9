"""Every record that did not go out, with its reason: one sealed file, sorted by key; children write and read it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from libs.expressions import mapping_rows, quote_literal
from services.runner.engines.duck import open_duckdb
from services.runner.engines.parquet import parquet_rows
from services.runner.engines.sealing import SealedFile, seal
from services.runner.records.requests import (
    Differences,
    DifferencesRequest,
    FindRequest,
    Found,
    MappingRequest,
    NotOutRequest,
)

_MOST = 1000
_FAILURES = """
SELECT key, _ordinal, {step} AS step, 'held' AS disposition, rule_id, rule_version, outcome, fields, message
FROM read_parquet({file}) WHERE severity = 'blocking'
"""
_FILTERED = """
SELECT key, _ordinal, 'transform' AS step, 'filtered' AS disposition, CAST(NULL AS VARCHAR) AS rule_id,
  CAST(NULL AS INTEGER) AS rule_version, CAST(NULL AS VARCHAR) AS outcome, CAST(NULL AS VARCHAR) AS fields,
  'The report''s selection leaves this record out.' AS message
FROM read_parquet({file}) WHERE disposition = 'filtered'
"""

_DROPPED = """
SELECT key, _ordinal, 'transform' AS step, 'filtered' AS disposition, CAST(NULL AS VARCHAR) AS rule_id,
  CAST(NULL AS INTEGER) AS rule_version, CAST(NULL AS VARCHAR) AS outcome, CAST(NULL AS VARCHAR) AS fields,
  reason AS message
FROM read_parquet({file})
"""
# a row that is held holds every record behind it
_ROWS_HELD = """
SELECT o.key, o._ordinal, 'validate_output' AS step, 'held' AS disposition, f.rule_id, f.rule_version, f.outcome,
  f.fields, f.message
FROM read_parquet({file}) AS f JOIN read_parquet({origins}) AS o ON o._row = f._ordinal WHERE f.severity = 'blocking'
"""


def write_not_out(request: NotOutRequest, _descriptors: Sequence[int] = ()) -> SealedFile:
    """Write the records that are not out, sorted by key."""
    folders = [path.parent for path in request.files]
    with open_duckdb(request.target.parent, [*folders, *request.files]) as engine:
        engine.execute(
            f"COPY (SELECT * FROM ({' UNION ALL '.join(_parts(request))}) ORDER BY key, _ordinal, rule_id) "
            f"TO {quote_literal(str(request.target))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480, USE_TMP_FILE false)"
        )
    return seal(request.target, parquet_rows(request.target))


def _parts(request: NotOutRequest) -> list[str]:
    held = {
        "validate": request.failures,
        "transform": request.faults,
        "validate_output": None if request.origins else request.output_failures,
    }
    parts = [
        _FAILURES.format(step=quote_literal(step), file=quote_literal(str(path)))
        for step, path in held.items()
        if path is not None
    ]
    if request.origins is not None and request.output_failures is not None:
        file, origins = (quote_literal(str(path)) for path in (request.output_failures, request.origins))
        parts.append(_ROWS_HELD.format(file=file, origins=origins))
    if request.dropped is not None:
        parts.append(_DROPPED.format(file=quote_literal(str(request.dropped))))
    if request.dispositions is not None:
        parts.append(_FILTERED.format(file=quote_literal(str(request.dispositions))))
    return parts


def find_records(request: FindRequest, _descriptors: Sequence[int] = ()) -> Found:
    """Return the rows of a key; row groups whose range does not hold it are not read."""
    places = pq.read_table(request.places, columns=["_ordinal"])[0].to_pylist() if request.places else None

    def found(path: Path | None, column: str, columns: list[str] | None = None) -> list[dict[str, Any]]:
        rows = _matching(path, column, request.key, columns) if path else []
        return [{**row, "_ordinal": places[row["_ordinal"] - 1]} for row in rows] if places else rows

    waived = [row for row in found(request.failures, "key") if row["severity"] == "waived"]
    behind = found(request.origins, "key", ["_ordinal", "_row", "_first"])
    out = [] if request.origins else found(request.transformed, "_key", ["_ordinal"])
    return Found(
        dropped=found(request.dropped, "key"),
        transformed=[row["_ordinal"] for row in out],
        origins=[{**row, "_first": places[row["_first"] - 1]} for row in behind] if places else behind,
        corrected=found(request.corrections, "key"),
        waived=waived,
    )


def _matching(path: Path, column: str, key: str, columns: list[str] | None = None) -> list[dict[str, Any]]:
    # no threads: the limits of a child count them
    found = ds.dataset(path, format="parquet").head(
        _MOST, columns=columns, filter=pc.field(column) == key, use_threads=False
    )
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def write_mapping(request: MappingRequest, _descriptors: Sequence[int] = ()) -> SealedFile:
    """Write a mapping's valid entries."""
    pq.write_table(mapping_rows(request.mapping, request.business_date), request.target)
    return seal(request.target, parquet_rows(request.target))


def read_differences(request: DifferencesRequest, _descriptors: Sequence[int] = ()) -> Differences:
    """Return rows of a backtest's differences; row groups before the position are not read."""
    wanted = pc.field("position") >= request.position
    if request.difference is not None:
        wanted = wanted & (pc.field("difference") == request.difference)
    found = ds.dataset(request.file, format="parquet").head(request.limit, filter=wanted, use_threads=False)
    return Differences(rows=found.to_pylist())
