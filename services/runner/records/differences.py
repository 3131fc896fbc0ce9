"""Pages of what a backtest found, read from the sealed files of its runs."""

import asyncio
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import UUID

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Row
from libs.common.errors import FieldProblem, Invalid
from libs.common.jail import JobServer
from libs.common.objects import Objects, Sealed
from services.runner.records.calls import some_differences
from services.runner.records.requests import DifferencesRequest
from services.runner.store import backtests

_CURSOR = re.compile(r"(\d{1,3})\.(\d{1,12})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which differences of a backtest are wanted, from where on."""

    backtest_id: UUID
    run_id: UUID | None
    difference: str | None
    limit: int
    cursor: str | None

    def start(self) -> tuple[int, int]:
        """Return the place of the run and the position in its file to go on from.

        Raises:
            Invalid: the cursor is none of ours.
        """
        if self.cursor is None:
            return 0, 1
        found = _CURSOR.fullmatch(self.cursor)
        if found is None:
            problem = FieldProblem("cursor", "is not one that this list gave out")
            raise Invalid("The cursor cannot be read.", type="bad-cursor", fields=[problem])
        return int(found[1]), int(found[2])


class DifferenceReader:
    """Reads pages; each file is fetched and checked, then read in a child."""

    def __init__(self, database: Database, objects: Objects, jobs: JobServer, scratch: Path) -> None:
        self._database = database
        self._objects = objects
        self._jobs = jobs
        self._scratch = scratch

    async def page(self, context: Context, wanted: Wanted) -> dict[str, Any]:
        """Return one page: `items` and where the `next` begins, if there is one.

        Raises:
            NotFound: there is no such backtest. Invalid: see `Wanted.start`.
        """
        place, position = wanted.start()
        async with self._database.transaction(context) as tx:
            await backtests.find(tx, wanted.backtest_id)
            runs = await backtests.replays(tx, wanted.backtest_id)
        items: list[dict[str, Any]] = []
        for number, run in enumerate(runs[place:], place):
            if wanted.run_id in (None, run["id"]):
                items += await self._of(run, wanted, position, wanted.limit + 1 - len(items), number)
            if len(items) > wanted.limit:
                last = items[wanted.limit]
                return _page(items[: wanted.limit], f"{last['_place']}.{last['position']}")
            position = 1
        return _page(items, None)

    async def _of(self, run: Row, wanted: Wanted, position: int, limit: int, place: int) -> list[dict[str, Any]]:
        found = (run["outputs"] or {}).get("differences")
        if found is None:
            return []
        sealed = Sealed(**found)
        folder = Path(mkdtemp(prefix="differences-", dir=self._scratch))
        try:
            path = folder / "differences.parquet"
            await self._objects.fetch(sealed.key, sealed.sha256, path)
            asked = DifferencesRequest(file=path, position=position, limit=limit, difference=wanted.difference)
            rows = (await some_differences(self._jobs, asked)).rows
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return [{"run_id": run["id"], **row, "_place": place} for row in rows]


def _page(items: Sequence[dict[str, Any]], following: str | None) -> dict[str, Any]:
    hidden = ("_place", "position", "_ordinal")
    shown = [
        {"ordinal": item["_ordinal"], **{name: value for name, value in item.items() if name not in hidden}}
        for item in items
    ]
    return {"items": shown, "next": following}
