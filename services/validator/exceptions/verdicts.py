"""Opening what a verdict holds: some thousand exceptions in a transaction, the last ones in that which tells the verdict."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Transaction
from libs.common.events.runner import ValidationRequested
from services.validator import store
from services.validator.exceptions.concluding import of_correction, open_again
from services.validator.exceptions.opening import Causes, Origin, blocking, open_some


class _Write(Protocol):
    async def __call__(self, tx: Transaction, *, rows: list[dict[str, Any]]) -> None: ...


class Opener:
    """Opens an exception for each blocking failure of a verdict; those that are open already stay.

    A million in one transaction would hold its job, and a connection, for minutes. So they are visible before the
    verdict is told; a worker that dies in between is replaced by one that opens the rest.
    """

    def __init__(self, request: ValidationRequested, names: Mapping[str, str], failures: Path) -> None:
        self.by_rule: Counter[str] = Counter()
        self._request = request
        self._names = names
        self._failures = failures
        self._last: list[dict[str, Any]] = []
        self._write: _Write | None = None

    async def open_ahead(self, database: Database, context: Context, attempt: int) -> bool:
        """Open all but the last some thousand; false where another worker has the job."""
        for rows in blocking(self._failures):
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
        origin = Origin(run_id, request.report_id, request.business_date, request.phase, self._names)
        causes = await Causes.of(tx, origin)
        if of is not None:
            return partial(open_again, sent=of, origin=origin, causes=causes)
        return partial(open_some, origin=origin, causes=causes)
