"""Which record went where: every ordinal once, none that nobody knows, none that nobody misses."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Ordinals = npt.NDArray[np.int64]
_USED, _DROPPED = 1, 2
_NAMED = 3
_BOTH = "records are dropped and stand behind a row as well"
_TWICE = "records stand behind several rows, which `yields` excludes (`one_to_many` permits it)"
_NOTHING = "records came to nothing: they stand behind no row, and were not dropped with a reason in `_dropped` (`unused: filter` permits it)"


class RefusedRowsError(Exception):
    """The rows are not what the transform declared; the message is for people."""


class Accounts:
    """The records of a transform's input and what became of each so far, a byte a record."""

    def __init__(self, path: str, yields: str) -> None:
        self._path = path
        self._many = yields == "one_to_many"
        self._known, self._fate = _known(path)

    def use(self, ordinals: Ordinals) -> None:
        """Note that these records stand behind rows.

        Raises:
            RefusedRowsError: one is foreign, was dropped, or may not be used twice and is.
        """
        fates = self._fates(ordinals)
        self._refuse(ordinals[fates == _DROPPED], _BOTH)
        if not self._many:
            self._refuse(_repeated(ordinals, fates), _TWICE)
        self._fate[ordinals] = _USED

    def drop(self, ordinals: Ordinals) -> Ordinals:
        """Note that these records are dropped; return those that were not yet.

        Raises:
            RefusedRowsError: one is foreign, or stands behind a row.
        """
        fates = self._fates(ordinals)
        self._refuse(ordinals[fates == _USED], _BOTH)
        new: Ordinals = np.unique(ordinals[fates == 0])
        self._fate[ordinals] = _DROPPED
        return new

    def unused(self) -> Ordinals:
        """Return the records that came to nothing."""
        left: Ordinals = np.flatnonzero(self._known & (self._fate == 0)).astype(np.int64)
        return left

    def used(self) -> int:
        """Return the number of records behind rows."""
        return int((self._fate == _USED).sum())

    def require_all(self) -> None:
        """Refuse rows that leave records out.

        Raises:
            RefusedRowsError: some records came to nothing.
        """
        self._refuse(self.unused(), _NOTHING)

    def _fates(self, ordinals: Ordinals) -> npt.NDArray[np.uint8]:
        inside = (ordinals >= 0) & (ordinals < len(self._known))
        foreign = ~inside
        foreign[inside] = ~self._known[ordinals[inside]]
        if foreign.any():
            shown = ", ".join(str(value) for value in ordinals[foreign][:_NAMED])
            raise RefusedRowsError(f"{int(foreign.sum())} rows name records that are not in the input, such as {shown}")
        return self._fate[ordinals]

    def _refuse(self, ordinals: Ordinals, why: str) -> None:
        if len(ordinals) == 0:
            return
        first = np.unique(ordinals)[:_NAMED]
        keys = keys_of(self._path, first.tolist())
        shown = ", ".join(f"{ordinal} ({keys.get(int(ordinal), '')})" for ordinal in first)
        raise RefusedRowsError(f"{why}: {len(np.unique(ordinals))} in all, such as {shown}")


def _known(path: str) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint8]]:
    with pq.ParquetFile(path, pre_buffer=False) as file:
        parts = [
            np.asarray(batch.column(0).to_numpy(zero_copy_only=False), dtype=np.int64)
            for batch in file.iter_batches(columns=["_ordinal"], use_threads=False)
        ]
    ordinals = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
    size = int(ordinals.max()) + 1 if len(ordinals) else 1
    known = np.zeros(size, dtype=bool)
    known[ordinals] = True
    return known, np.zeros(size, dtype=np.uint8)


def _repeated(ordinals: Ordinals, fates: npt.NDArray[np.uint8]) -> Ordinals:
    values, counts = np.unique(ordinals, return_counts=True)
    again: Ordinals = np.concatenate([values[counts > 1], ordinals[fates == _USED]])
    return again


def keys_of(path: str, ordinals: Sequence[int]) -> dict[int, str]:
    """Return the business keys of a few records."""
    wanted = pa.array(ordinals, pa.int64())
    found: dict[int, str] = {}
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(columns=["_ordinal", "_key"], use_threads=False):
            mask: Any = pc.is_in(batch.column("_ordinal"), value_set=wanted)
            rows = batch.filter(mask).to_pydict()
            found |= dict(zip(rows["_ordinal"], rows["_key"], strict=True))
            if len(found) == len(ordinals):
                break
    return found
