"""Opening what a verdict holds: some thousand exceptions in a transaction, the last ones in that which tells the verdict."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Transaction
from libs.common.events.runner import ValidationRequested
from services.validator import store
from services.validator.exceptions.concluding import open_again
from services.validator.exceptions.corrections import of_correction
from services.validator.exceptions.opening import Causes, Origin, blocking, open_some


class _Write(Protocol):
    async def __call__(self, tx: Transaction, *, rows: list[dict[str, Any]]) -> None: ...


@dataclass(frozen=True, slots=True)
class Failures:
    """Files of failures: what the rules say, and of an output which records the transform holds.

    `origins` names the first record behind each row of an output whose rows are not records.
    """

    rules: Path | None
    transform: Path | None = None
    origins: Path | None = None

    def blocking(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the blocking ones, some thousand at a time, each with the record that it is of."""
        if self.rules is not None:
            for rows in blocking(self.rules):
                yield _of_records(rows, self.origins) if self.origins and rows else rows
        if self.transform is not None:
            yield from blocking(self.transform)

    def held_by_transform(self) -> int:
        """Return how many records the transform holds."""
        return (
            0
            if self.transform is None
            else pc.count_distinct(pq.read_table(self.transform, columns=["_ordinal"])["_ordinal"]).as_py()
        )


def _of_records(rows: list[dict[str, Any]], origins: Path) -> list[dict[str, Any]]:
    wanted = pc.field("_row").isin([row["_ordinal"] for row in rows])
    # no threads: what a tenant's rows come from may be large
    found = ds.dataset(origins, format="parquet").to_table(["_row", "_first"], filter=wanted, use_threads=False)
    first = dict(zip(found["_row"].to_pylist(), found["_first"].to_pylist(), strict=True))
    return [{**row, "_ordinal": first[row["_ordinal"]]} for row in rows]


class Opener:
    """Opens an exception for each blocking failure of a verdict; those that are open already stay.

    A million in one transaction would hold its job, and a connection, for minutes. So they are visible before the
    verdict is told; a worker that dies in between is replaced by one that opens the rest.
    """

    def __init__(self, request: ValidationRequested, names: Mapping[str, str], failures: Failures) -> None:
        self.by_rule: Counter[str] = Counter()
        self.held_by_transform = failures.held_by_transform()
        self._request = request
        self._names = names
        self._failures = failures
        self._last: list[dict[str, Any]] = []
        self._write: _Write | None = None

    async def open_ahead(self, database: Database, context: Context, attempt: int) -> bool:
        """Open all but the last some thousand; false where another worker has the job."""
        for rows in self._failures.blocking():
            self.by_rule.update(row["rule_id"] for row in rows)
            if self._last and rows:
                async with database.transaction(context) as tx:
                    if not await store.holds_job(tx, self._request.request_id, attempt):
                        return False
                    await self._open(tx)
            self._last = rows or self._last
        return True

    async def open_last(self, tx: Transaction) -> None:
        """Open what is left, in the transaction that tells the verdict."""
        if self._last:
            await self._open(tx)

    async def _open(self, tx: Transaction) -> None:
        if self._write is None:
            self._write = await self._writer(tx)
        await self._write(tx, rows=self._last)

    async def _writer(self, tx: Transaction) -> _Write:
        """Return what opens exceptions; those of a correction are of the run that it corrects."""
        request = self._request
        of = await of_correction(tx, request.run_id) if request.kind == "correction" else None
        run_id = of["run_id"] if of else request.run_id
        found_by = of["id"] if of else None
        origin = Origin(run_id, request.report_id, request.business_date, request.phase, self._names, found_by)
        causes = await Causes.of(tx, origin)
        if of is not None:
            return partial(open_again, sent=of, origin=origin, causes=causes)
        return partial(open_some, origin=origin, causes=causes)
