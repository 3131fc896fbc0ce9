"""How extracts are laid out in files."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.runner.engines.parquet import write_parquet

SCHEMA = pa.schema({"_ordinal": pa.int64(), "id": pa.string(), "side": pa.string()})


def batches(rows: int, step: int = 8192) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows, step):
        numbers = range(start + 1, min(start + step, rows) + 1)
        columns = {"_ordinal": numbers, "id": [f"T{n}" for n in numbers], "side": ["BS"[n % 2] for n in numbers]}
        yield pa.record_batch({name: pa.array(values, SCHEMA.field(name).type) for name, values in columns.items()})


@pytest.mark.parametrize("rows", [0, 1, 30_719, 30_720, 70_000])
def test_everybody_reads_what_was_written(tmp_path: Path, rows: int) -> None:
    """Rows come back as they were, in Arrow, DuckDB and Polars alike."""
    path = tmp_path / "extract.parquet"
    assert write_parquet(path, SCHEMA, batches(rows)) == rows
    expected = pa.Table.from_batches(batches(rows), SCHEMA).to_pylist()
    assert pq.read_table(path).to_pylist() == expected
    assert pl.read_parquet(path).to_dicts() == expected
    with duckdb.connect() as engine:
        assert engine.sql(f"FROM '{path}'").to_arrow_table().to_pylist() == expected


def test_ordinals_take_next_to_nothing(tmp_path: Path) -> None:
    """Ordinals count up and are written as differences; a dictionary is made of what repeats."""
    path = tmp_path / "extract.parquet"
    write_parquet(path, SCHEMA, batches(100_000))
    group = pq.ParquetFile(path).metadata.row_group(0)
    ordinal, identifier, side = (group.column(place) for place in range(3))
    assert "DELTA_BINARY_PACKED" in ordinal.encodings
    assert ordinal.total_compressed_size * 100 < group.num_rows * 8
    assert "RLE_DICTIONARY" in side.encodings
    assert "RLE_DICTIONARY" not in identifier.encodings
