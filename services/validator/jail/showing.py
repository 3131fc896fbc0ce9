"""What a tried transform made, said as JSON in a process of its own: the files were written by one that read a tenant's."""

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any

import pyarrow.parquet as pq


def run(job: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
    """Return how many rows and dropped records there are, the first `job["most"]` of each, and the records behind rows."""
    rows, trace, drops = (f"/proc/self/fd/{descriptor}" for descriptor in descriptors)
    shown = list(islice(_rows(rows), job["most"]))
    behind = _behind(trace, {row["_ordinal"] for row in shown})
    return {
        "rows": _count(rows),
        "dropped": _count(drops),
        "shown": [_shown(row, behind, job["most"]) for row in shown],
        "drops": [{"place": row["_ordinal"], "reason": row["reason"]} for row in islice(_rows(drops), job["most"])],
    }


def _count(path: str) -> int:
    return int(pq.read_metadata(path).num_rows)


def _rows(path: str) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=1024, use_threads=False):
            yield from batch.to_pylist()


def _behind(path: str, numbers: set[int]) -> dict[int, list[int]]:
    behind: dict[int, list[int]] = {}
    for one in _rows(path):
        if one["_row"] in numbers:
            behind.setdefault(one["_row"], []).append(one["_ordinal"])
    return behind


def _shown(row: dict[str, Any], behind: dict[int, list[int]], most: int) -> dict[str, Any]:
    number, first, key = (row.pop(name) for name in ("_ordinal", "_first", "_key"))
    values = {name: _plain(value) for name, value in row.items()}
    return {"places": behind.get(number, [first])[:most], "key": key, "values": values}


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
