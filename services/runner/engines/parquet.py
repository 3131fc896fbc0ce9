from pathlib import Path

import pyarrow.parquet as pq


def parquet_rows(path: Path) -> int:
    """Return the number of rows that the Parquet file's footer states."""
    with pq.ParquetFile(path) as file:
        return int(file.metadata.num_rows)
