"""What the parent of transforms imports and does ahead, so that a job finds it: none of it leaves a thread behind.

After confinement nothing native can be loaded any more: what a transform may use of that kind is loaded here.
"""

import os

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from services.validator.jail import engine

PRELOAD = (
    "duckdb", "numpy", "numpy.fft", "numpy.linalg", "numpy.random", "pandas", "polars", "pyarrow", "pyarrow.compute",
    "pyarrow.csv", "pyarrow.dataset", "pyarrow.json", "pyarrow.parquet", "zoneinfo", "decimal", "statistics", "uuid", "hashlib",
    "hmac", "csv", "json", "random", "array", "unicodedata", "zlib", "bisect", "heapq", "cmath", "fractions", "difflib",
    "calendar", "textwrap", "queue", "concurrent.futures", "_strptime", "tzdata", "pyarrow.acero", "graphlib", "linecache", "services.validator.jail.transforming",
)  # fmt: skip
"""Modules with native parts, and our own."""


def warm() -> None:
    """Open the engine and do what most transforms do first; Polars is told its engine, and not used: it would start threads."""
    engine.warm()
    pl.Config.set_engine_affinity("in-memory")  # the streaming one reserves gigabytes of addresses, and keeps no order
    _convert()
    _write_and_read()


def rehearse() -> None:
    """Do with nothing of anybody's what small jobs do."""
    engine.rehearse()
    _convert()
    _write_and_read()


def _convert() -> None:
    batch = pa.record_batch({"a": pa.array([1, 2]), "b": pa.array(["x", None])})
    frame = batch.to_pandas(use_threads=False)
    frame["a"] = np.where(frame["b"].isna(), 0, frame["a"])
    grouped = pd.DataFrame(frame.groupby("b", dropna=False)["a"].sum().reset_index())
    pa.Table.from_pandas(grouped, preserve_index=False, nthreads=1)


def _write_and_read() -> None:
    """Take a batch the way of a transform's rows: a stream, the engine, a Parquet file and out of it."""
    file = os.memfd_create("rows", os.MFD_CLOEXEC)
    path = f"/proc/self/fd/{file}"
    table = pa.table({"a": pa.array([1, 2], pa.int64()), "b": pa.array(["x", None])})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    (batch,) = pa.ipc.open_stream(sink.getvalue())
    batch.validate(full=True)
    with engine.warm_cursor() as cursor:
        cursor.register("rehearsed_rows", pa.Table.from_batches([batch]))
        made = cursor.sql("SELECT TRY_CAST(a AS DECIMAL(28, 2)) AS a, b FROM rehearsed_rows").to_arrow_table()
        cursor.unregister("rehearsed_rows")
    with pq.ParquetWriter(path, made.schema, compression="zstd") as writer:
        writer.write_table(made)
    with pq.ParquetFile(path, pre_buffer=False) as written:
        np.unique(next(written.iter_batches(use_threads=False)).column(0).to_numpy(zero_copy_only=False))
    os.close(file)
