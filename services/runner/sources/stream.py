"""CSV text from COPY into the extract's Parquet, batch by batch."""

import io
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from services.runner.sources.columns import Reading

_BLOCK = 1024 * 1024
_GROUP = 61_440
_COLUMN = re.compile(r"CSV column #(\d+)")


class UnfitValueError(Exception):
    """A value of `column` does not fit the type that it is read as."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


def write_extract(stream: BinaryIO, readings: Sequence[Reading], target: Path) -> int:
    """Write the CSV rows of `stream` as an extract and return their number; memory holds one row group.

    Raises:
        UnfitValueError: a value does not fit its column's type; `target` is then not finished.
    """
    fields = [pa.field("_ordinal", pa.int64()), *(pa.field(r.field.name, r.arrow_type) for r in readings)]
    rows = 0
    with pq.ParquetWriter(target, pa.schema(fields), compression="zstd") as writer:
        for group in _groups(_read(stream, readings)):
            ordinals = _numbers(rows + 1, group.num_rows)
            writer.write_table(group.add_column(0, "_ordinal", ordinals), row_group_size=_GROUP)
            rows += group.num_rows
    return rows


def _read(stream: BinaryIO, readings: Sequence[Reading]) -> Iterator[pa.RecordBatch]:
    names = [reading.field.name for reading in readings]
    convert = pa_csv.ConvertOptions(
        column_types={reading.field.name: reading.arrow_type for reading in readings},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,  # COPY writes a null bare and the empty text quoted
        true_values=["t"],
        false_values=["f"],
    )
    head = stream.read(1)
    if not head:
        return
    try:
        yield from pa_csv.open_csv(
            cast("IO[Any]", _Again(head, stream)),
            pa_csv.ReadOptions(column_names=names, block_size=_BLOCK),
            pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert,
        )
    except pa.ArrowInvalid as error:
        column = _COLUMN.search(str(error))
        if column is None:
            raise
        raise UnfitValueError(names[int(column[1])]) from error


class _Again(io.RawIOBase):
    """A stream whose first byte was looked at: an empty one is no CSV to Arrow."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        super().__init__()
        self._head = head
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, blocking for at least one."""
        if self._head:
            head, self._head = self._head, b""
            return head
        return self._stream.read(size)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True


def _numbers(first: int, count: int) -> "pa.Array[Any]":
    # not pa.array(): that imports pandas where it is installed, which takes seconds
    return pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(array("q", range(first, first + count)))])


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows >= _GROUP:
            whole = pa.Table.from_batches(held)
            yield whole.slice(0, _GROUP)
            held = whole.slice(_GROUP).to_batches()
            rows -= _GROUP
    if rows:
        yield pa.Table.from_batches(held)
