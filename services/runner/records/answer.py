"""What became of a record, read from the sealed files of the run that decided it."""

import asyncio
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Row, Transaction
from libs.common.errors import NotFound
from libs.common.jail import JobServer
from libs.common.objects import Objects, Sealed
from services.runner.records.calls import find
from services.runner.records.composing import Picture, Question, compose
from services.runner.records.requests import FindRequest, Found
from services.runner.store import parts, runs


class RecordReader:
    """Answers record questions."""

    def __init__(self, database: Database, objects: Objects, jobs: JobServer, scratch: Path) -> None:
        self._database = database
        self._jobs = jobs
        self._objects = objects
        self._scratch = scratch

    async def answer(self, context: Context, question: Question) -> dict[str, Any]:
        """Return what became of each record of the key: sent, held, filtered ... or never extracted.

        What a correction of the run made of a record counts more than what the run itself did.

        Raises:
            NotFound: no run of the report for the date has come to its end.
        """
        newest, *pictures = await self._pictures(context, question)
        folder = Path(mkdtemp(prefix="records-", dir=self._scratch))
        try:
            found = [await self._found(picture, question, folder) for picture in pictures]
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        if found[0] is None:
            raise NotFound("The run's sealed records are gone.")
        return compose(question, newest, [(p, f) for p, f in zip(pictures, found, strict=True) if f is not None])

    async def _pictures(self, context: Context, question: Question) -> tuple[Any, ...]:
        """Return the newest run's row, then the run that decided and its corrections, the oldest first."""
        async with self._database.transaction(context) as tx:
            newest = await runs.last_ended(tx, question.report_id, question.business_date, well=False)
            run = await runs.last_ended(tx, question.report_id, question.business_date, well=True)
            if newest is None or run is None:
                raise NotFound(_why_nothing(newest, question))
            corrections = await runs.corrections(tx, run["id"])
            return newest, *[await self._picture(tx, one) for one in (run, *corrections)]

    async def _picture(self, tx: Transaction, run: Row) -> Picture:
        steps = {row["step"]: row for row in await parts.steps(tx, run["id"])}
        return Picture(run, steps, tuple(await parts.deliveries(tx, run["id"])))

    async def _found(self, picture: Picture, question: Question, folder: Path) -> Found | None:
        place = folder / str(picture.run["id"])
        place.mkdir()
        transformed = await self._fetch(picture.output("transform", "records"), place)
        if transformed is None:
            return None
        selection = picture.run["selection"]
        request = FindRequest(
            key=question.key,
            transformed=transformed,
            origins=await self._fetch(picture.output("transform", "origins"), place),
            dropped=await self._fetch(picture.output("render", "records"), place),
            corrections=await self._fetch(picture.output("validate", "corrections"), place),
            failures=await self._fetch(picture.output("validate", "failures"), place),
            places=await self._fetch(selection["ordinals"], place) if selection else None,
        )
        return await find(self._jobs, request)

    async def _fetch(self, reference: Any, folder: Path) -> Path | None:
        if reference is None:
            return None
        sealed = Sealed(**reference)
        path = folder / f"{sealed.sha256}.parquet"
        await self._objects.fetch(sealed.key, sealed.sha256, path)
        return path


def _why_nothing(newest: Row | None, question: Question) -> str:
    if newest is None:
        return f"No run of this report for {question.business_date} has ended."
    return (
        f"No run of this report for {question.business_date} has come to its end; the newest, {newest['id']}, "
        f"{newest['status']} at {newest['step'] or 'its start'}: {newest['reason']}"
    )
