"""Builders that the data path's tests share."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.vocabulary.schemas import SchemaSpec
from services.runner.artifacts.requests import RenderRequest
from services.runner.engines.requests import TransformRequest

FAILURES = pa.schema(
    [
        ("_ordinal", pa.int64()),
        ("key", pa.string()),
        ("rule_id", pa.string()),
        ("rule_version", pa.int32()),
        ("severity", pa.string()),
        ("outcome", pa.string()),
        ("fields", pa.string()),
        ("message", pa.string()),
    ]
)
CORRECTIONS = pa.schema(
    [
        ("_ordinal", pa.int64()),
        ("key", pa.string()),
        ("field", pa.string()),
        ("old_value", pa.string()),
        ("new_value", pa.string()),
        ("rule_id", pa.string()),
        ("rule_version", pa.int32()),
    ]
)


def schema(**fields: str | dict[str, Any]) -> SchemaSpec:
    """Build a schema from `name="type"` or `name={"type": ..., ...}`."""
    listed = [{"name": n, **({"type": f} if isinstance(f, str) else f)} for n, f in fields.items()]
    return SchemaSpec.model_validate({"fields": listed})


def write_rows(path: Path, types: dict[str, pa.DataType], rows: list[tuple[Any, ...]]) -> Path:
    """Write rows with their ordinals (and `_key`, where `types` names it) as Parquet."""
    columns: dict[str, Any] = {"_ordinal": pa.array(range(1, len(rows) + 1), pa.int64())}
    for position, (name, kind) in enumerate(types.items()):
        columns[name] = pa.array([row[position] for row in rows], kind)
    pq.write_table(pa.table(columns), path, row_group_size=65_536)
    return path


def write_failures(path: Path, *ordinals: int, severity: str = "blocking") -> Path:
    """Write one failure of rule `r` for each ordinal."""
    rows = [
        {
            "_ordinal": o, "key": f"K{o}", "rule_id": "r", "rule_version": 1, "severity": severity,
            "outcome": "fail", "fields": "{}", "message": "",
        }
        for o in ordinals
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, FAILURES), path)
    return path


def transform_request(
    work: Path, extract: Path, types: dict[str, str], source: SchemaSpec, target: SchemaSpec, **more: Any
) -> TransformRequest:
    """Build a request whose `fields` are `target=expression` pairs; results go into `work`."""
    transform = {
        "fields": [{"field": f, "expression": e} for f, e in more.pop("fields").items()],
        "where": more.pop("where", None),
        "order_by": more.pop("order_by", ()),
    }
    return TransformRequest.model_validate(
        {
            "extract": extract,
            "column_types": types,
            "source_schema": source,
            "target_schema": target,
            "business_key": more.pop("key"),
            "transform": transform,
            "business_date": date(2025, 3, 10),
            "as_of": datetime(2025, 3, 11, 6, tzinfo=UTC),
            "output": work / "transformed.parquet",
            "dispositions": work / "dispositions.parquet",
            "faults": work / "faults.parquet",
            **more,
        }
    )


def render_request(work: Path, target: SchemaSpec, output: dict[str, Any], **more: Any) -> RenderRequest:
    """Build a render request for `work/transformed.parquet`; the artifact goes to `work/artifact`."""
    return RenderRequest.model_validate(
        {
            "transformed": work / "transformed.parquet",
            "target_schema": target,
            "output": output,
            "target": work / "artifact",
            "report": "trades",
            "run_id": "R1",
            "business_date": date(2025, 3, 10),
            "as_of": datetime(2025, 3, 11, 6, tzinfo=UTC),
            "created": datetime(2025, 3, 11, 6, 30, tzinfo=UTC),
            **more,
        }
    )


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Read a Parquet file's rows."""
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows
