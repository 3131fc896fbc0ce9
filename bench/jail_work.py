"""What the jail bench has done inside and outside of the jail: the same function, the same engine."""

from collections.abc import Sequence
from typing import Any

import duckdb


def run(job: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
    """Hash and add up `job["numbers"]` numbers, none means nothing at all; or sort a Parquet file into another."""
    if job.get("sort"):
        return _sort(job, descriptors)
    if not job.get("numbers"):
        return {}
    with duckdb.connect(config={"threads": 1}) as engine:
        row = engine.execute("SELECT bit_xor(hash(range)) FROM range(?)", [job["numbers"]]).fetchone()
    return {"answer": str(row)}


def _sort(job: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
    source, target, spill = (f"/proc/self/fd/{descriptor}" for descriptor in descriptors)
    limit = f"{job['memory']}B"
    with duckdb.connect(config={"threads": job["threads"], "memory_limit": limit, "temp_directory": spill}) as engine:
        options = "FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false"
        query = f"SELECT * FROM read_parquet('{source}') ORDER BY {job['sort']}"
        engine.execute(f"COPY ({query}) TO '{target}' ({options})")
    return {}
