"""The Python job: a tenant's `transform(batches, params)`, run as it is; nothing here protects, the jail does."""

import faulthandler
import linecache
import os
import random
import signal
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from libs.transforms.python_text import MODULE, python_flaws
from services.validator.jail import diary
from services.validator.jail.errors import told
from services.validator.jail.limits import NUMBERS
from services.validator.jail.outlet import Outlet, tables
from services.validator.jail.unfit import UnfitResultError

_BATCH = 16_384
_MOST_AHEAD = 0.5
_RESERVE = 8 * 1024 * 1024


class _Said(str):
    """Words that an error shows as they are, where it would show a key."""

    __slots__ = ()
    __repr__ = str.__str__


class Mappings(Mapping[str, pa.Table]):
    """The report's mappings by alias: Arrow tables of `key` and their columns, read when they are asked for."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = paths
        self._read: dict[str, pa.Table] = {}

    def __getitem__(self, alias: str) -> pa.Table:
        if alias not in self._paths:
            raise KeyError(_Said(f"the report has no mapping {alias!r}: it has {', '.join(self._paths) or 'none'}"))
        if alias not in self._read:
            self._read[alias] = pq.read_table(self._paths[alias], use_threads=False)
        return self._read[alias]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __repr__(self) -> str:
        return f"<mappings: {', '.join(self._paths)}>"


class Batches:
    """The records, batch by batch: Arrow as they come, or as Polars or pandas frames.

    `rows` is how many records there are, `mappings` the report's tables as valid on the business date. Records are read
    once: what was taken is not there again, and who asks a second time is told.
    """

    def __init__(self, path: str, progress: "Progress", mappings: Mapping[str, str]) -> None:
        self._file = pq.ParquetFile(path, pre_buffer=False)
        self._progress = progress
        self.mappings = Mappings(mappings)
        self._source = self._read()
        self._over = False
        self.rows = int(self._file.metadata.num_rows)
        self.schema = self._file.schema_arrow

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        if self._over and self.rows:
            raise RuntimeError("the records were read already: batches can be read once, so keep what is needed again")
        return self

    def __next__(self) -> pa.RecordBatch:
        batch = next(self._source, None)
        if batch is None:
            self._over = True
            raise StopIteration
        return batch

    def __getattr__(self, name: str) -> NoReturn:
        said = f"batches has no {name!r}: it has polars(), pandas(), table(), rows, schema and mappings"
        raise AttributeError(said, name=name, obj=self)

    def __repr__(self) -> str:
        return f"<batches: {self.rows} records of {', '.join(self.schema.names)}>"

    def polars(self) -> Iterator[pl.DataFrame]:
        """Yield the records as Polars frames."""
        for batch in self:
            frame = pl.from_arrow(batch)
            if isinstance(frame, pl.DataFrame):
                yield frame

    def pandas(self) -> Iterator[Any]:
        """Yield the records as pandas frames."""
        for batch in self:
            yield batch.to_pandas()

    def table(self) -> pa.Table:
        """Return all that is left as one Arrow table: it has to fit into memory."""
        return pa.Table.from_batches(list(self), self.schema)

    def _read(self) -> Iterator[pa.RecordBatch]:
        for batch in self._file.iter_batches(batch_size=_BATCH, use_threads=False):
            self._progress.taken += batch.num_rows
            self._progress.show()
            yield batch


class Progress:
    """Records taken and rows given so far, shown to whoever looks into the descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.taken = self.given = 0

    def show(self) -> None:
        """Write both."""
        os.pwrite(self._descriptor, struct.pack("<QQ", self.taken, self.given), 0)


def run(job: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
    """Run `job["code"]` over the records; the rows and what was said go to their files, an error is the answer."""
    tables_in = [f"/proc/self/fd/{descriptor}" for descriptor in descriptors[:-3]]
    result, log, notes = descriptors[-3:]
    reserve = [np.empty(_RESERVE, np.uint8)]
    _settle(log)
    _note_where(notes, job["wall_seconds"])
    progress = Progress(notes)
    returned: object = None
    try:
        batches = Batches(tables_in[0], progress, dict(zip(job["mappings"], tables_in[1:], strict=True)))
        with os.fdopen(result, "wb", closefd=False, buffering=0) as file:
            outlet = Outlet(file)
            returned = _function(job["code"])(batches, job["params"])
            given = tables(returned)  # held: a generator that is let go of says no more where it stood
            for table in given:
                outlet.take(table)
                progress.given = outlet.rows
                progress.show()
            outlet.flush()
    except BaseException as error:  # SystemExit as well: whatever ends the code is its error
        reserve.clear()  # lest there is no memory left to tell it
        return {"error": told(error, returned, job["params"])}
    return {"rows": outlet.rows}


def _settle(log: int) -> None:
    diary.keep(log)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the one that tenants' code may still use: the same run gives the same rows


def _note_where(notes: int, wall_seconds: float) -> None:
    """Have the lines that the code is at written into its notes before its time is over, and where it dies.

    No word of Python is needed for it: the code may be anywhere, and whatever it catches.
    """
    os.lseek(notes, NUMBERS, os.SEEK_SET)
    faulthandler.enable(notes)
    faulthandler.register(signal.SIGXCPU, notes, chain=True)
    faulthandler.dump_traceback_later(wall_seconds - min(_MOST_AHEAD, wall_seconds / 10), file=notes)


def _function(code: str) -> Callable[[Any, Any], object]:
    linecache.cache[MODULE] = (len(code), None, code.splitlines(keepends=True), MODULE)
    flaws = python_flaws(code)
    if flaws:
        raise UnfitResultError(str(flaws[0]))
    space: dict[str, Any] = {"__name__": "transform"}
    exec(compile(code, MODULE, "exec"), space)  # noqa: S102 - this is the place for it
    function = space.get("transform")
    if not callable(function):
        raise UnfitResultError("the code defines no function transform(batches, params)")
    checked: Callable[[Any, Any], object] = function
    return checked
