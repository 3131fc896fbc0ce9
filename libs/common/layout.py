"""How columns are best laid out in Parquet files."""

import pyarrow as pa
import pyarrow.compute  # what `unique` loads, at a time when it still can be

_SHARE = 4


def repeating(rows: pa.RecordBatch | pa.Table) -> list[str]:
    """Return the columns that gain by a dictionary, going by `rows`; on the others it costs time and space."""
    most = rows.num_rows // _SHARE
    flat = [name for name in rows.schema.names if not pa.types.is_nested(rows.schema.field(name).type)]
    return [name for name in flat if len(rows.column(name).unique()) <= most]
