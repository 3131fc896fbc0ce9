"""CSV text from COPY into the extract's Parquet, batch by batch."""

import re
from array import array
from collections.abc import Iterator, Sequence
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from services.runner.engines.parquet import write_parquet
from services.runner.sources.columns import Reading

BLOCK = 256 * 1024
LARGE_BLOCK = 64 * 1024 * 1024
"""Bytes that are parsed at once; a record must end in the block after the one in which it begins."""

_COLUMN = re.compile(r"CSV column #(\d+)")


class LongRecordError(Exception):
    """A record is longer than the block that is parsed at once."""


class UnfitValueError(Exception):
    """A value of `column` does not fit the type that it is read as."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


def write_extract(
    stream: "BufferedReader[FileIO]", readings: Sequence[Reading], target: Path, block: int = BLOCK
) -> int:
    """Write the CSV rows of `stream` as an extract and return their number; memory holds a few row groups.

    Raises:
        LongRecordError: a record is longer than `block` bytes; `target` is then not finished.
        UnfitValueError: a value does not fit its column's type; `target` is then not finished.
    """
    fields = [pa.field("_ordinal", pa.int64()), *(pa.field(r.field.name, r.arrow_type) for r in readings)]
    return write_parquet(target, pa.schema(fields), _numbered(_read(stream, readings, block)))


def _read(stream: "BufferedReader[FileIO]", readings: Sequence[Reading], block: int) -> Iterator[pa.RecordBatch]:
    names = [reading.field.name for reading in readings]
    convert = pa_csv.ConvertOptions(
        column_types={reading.field.name: reading.arrow_type for reading in readings},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,  # COPY writes a null bare and the empty text quoted
        true_values=["t"],
        false_values=["f"],
    )
    if not stream.peek(1):  # nothing at all is no CSV to Arrow
        return
    try:
        yield from pa_csv.open_csv(
            stream,
            pa_csv.ReadOptions(column_names=names, block_size=block, use_threads=False),
            pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert,
        )
    except pa.ArrowInvalid as error:
        if "straddling" in str(error):
            raise LongRecordError from error
        column = _COLUMN.search(str(error))
        if column is None:
            raise
        raise UnfitValueError(names[int(column[1])]) from error


def _numbers(first: int, count: int) -> "pa.Array[Any]":
    # not pa.array(): that imports pandas where it is installed, which takes seconds
    return pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(array("q", range(first, first + count)))])


def _numbered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    rows = 0
    for batch in batches:
        yield batch.add_column(0, "_ordinal", _numbers(rows + 1, batch.num_rows))
        rows += batch.num_rows
