"""What became of a record, read from the sealed files of the run that decided it."""

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import UUID

import orjson

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Row
from libs.common.errors import NotFound
from libs.common.jail import JobServer
from libs.common.objects import Objects, Sealed
from services.runner.records.calls import find
from services.runner.records.requests import FindRequest, Found
from services.runner.store import parts, runs


@dataclass(frozen=True, slots=True)
class Question:
    """Which records are asked about: those of a business key, in a report, for a date."""

    report_id: UUID
    business_date: date
    key: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The run that decided, and what belongs to it."""

    run: Row
    newest: Row
    steps: Mapping[str, Row]
    deliveries: tuple[Row, ...]


class RecordReader:
    """Answers record questions."""

    def __init__(self, database: Database, objects: Objects, jobs: JobServer, scratch: Path) -> None:
        self._database = database
        self._jobs = jobs
        self._objects = objects
        self._scratch = scratch

    async def answer(self, context: Context, question: Question) -> dict[str, Any]:
        """Return what became of each record of the key: sent, held, filtered ... or never extracted.

        Raises:
            NotFound: no run of the report for the date has come to its end.
        """
        picture = await self._picture(context, question)
        folder = Path(mkdtemp(prefix="records-", dir=self._scratch))
        try:
            transformed = await self._fetch(picture, "transform", folder)
            if transformed is None:
                raise NotFound("The run's sealed records are gone.")
            dropped = await self._fetch(picture, "render", folder)
            origins = await self._fetch(picture, "transform", folder, "origins")
            asked = FindRequest(key=question.key, dropped=dropped, transformed=transformed, origins=origins)
            found = await find(self._jobs, asked)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return _compose(picture, question, found)

    async def _picture(self, context: Context, question: Question) -> Picture:
        async with self._database.transaction(context) as tx:
            newest = await runs.last_ended(tx, question.report_id, question.business_date, well=False)
            run = await runs.last_ended(tx, question.report_id, question.business_date, well=True)
            if newest is None or run is None:
                raise NotFound(_why_nothing(newest, question))
            steps = {row["step"]: row for row in await parts.steps(tx, run["id"])}
            return Picture(run, newest, steps, tuple(await parts.deliveries(tx, run["id"])))

    async def _fetch(self, picture: Picture, step: str, folder: Path, name: str = "records") -> Path | None:
        found = picture.steps[step]["outputs"].get(name)
        if found is None:
            return None
        sealed = Sealed(**found)
        path = folder / f"{step}-{name}.parquet"
        await self._objects.fetch(sealed.key, sealed.sha256, path)
        return path


def _why_nothing(newest: Row | None, question: Question) -> str:
    if newest is None:
        return f"No run of this report for {question.business_date} has ended."
    return (
        f"No run of this report for {question.business_date} has come to its end; the newest, {newest['id']}, "
        f"{newest['status']} at {newest['step'] or 'its start'}: {newest['reason']}"
    )


def _compose(picture: Picture, question: Question, found: Found) -> dict[str, Any]:
    records: dict[int, dict[str, Any]] = {}
    for row in found.dropped:
        entry = records.setdefault(row["_ordinal"], {"ordinal": row["_ordinal"], "reasons": []})
        entry |= {"disposition": row["disposition"], "step": row["step"]}
        entry["reasons"].append(_reason(picture.run["id"], row))
    for ordinal in found.transformed:
        sent = {"ordinal": ordinal, "disposition": _outcome(picture), "step": "deliver", "reasons": []}
        records.setdefault(ordinal, sent)
    for behind in found.origins:
        _note_row(records, behind, _outcome(picture))
    run = picture.run
    return {
        "report_id": question.report_id,
        "business_date": question.business_date,
        "key": question.key,
        "run": {"id": run["id"], "status": run["status"], "href": f"/v1/runs/{run['id']}"},
        "newest_run": {name: picture.newest[name] for name in ("id", "status", "reason")},
        "extracted": bool(records),
        "disposition": _overall(records),
        "records": [records[ordinal] for ordinal in sorted(records)],
        "deliveries": [
            {name: row[name] for name in ("destination_id", "artifact_id", "status", "receipt", "reason", "ended_at")}
            for row in picture.deliveries
        ],
    }


def _note_row(records: dict[int, dict[str, Any]], behind: dict[str, int], outcome: str) -> None:
    """Note a row that a record stands behind: it is the row's first, or was merged into that one's."""
    ordinal, first = behind["_ordinal"], behind["_first"]
    own = {"ordinal": ordinal, "disposition": outcome, "step": "deliver", "reasons": []}
    if first != ordinal:
        own |= {"disposition": "merged", "step": "transform", "merged_into": first}
    entry = records.setdefault(ordinal, own)
    entry.setdefault("rows", []).append(behind["_row"])


def _reason(run_id: UUID, row: dict[str, Any]) -> dict[str, Any]:
    rule_id = row["rule_id"]
    names = ("rule_id", "rule_version", "outcome", "message")
    held = row["disposition"] == "held"
    return {
        **{name: row[name] for name in names},
        "fields": orjson.loads(row["fields"]) if row["fields"] else None,
        "exceptions": f"/v1/exceptions?run_id={run_id}" if held else None,
        "rule": f"/v1/rules/{rule_id}" if rule_id and ":" not in rule_id else None,
    }


def _outcome(picture: Picture) -> str:
    """Return what became of the records that are in the artifacts."""
    if not picture.deliveries or any(row["status"] == "succeeded" for row in picture.deliveries):
        return "sent"
    return "undelivered"


def _overall(records: dict[int, dict[str, Any]]) -> str:
    found = {entry["disposition"] for entry in records.values()}
    if not found:
        return "never extracted"
    return found.pop() if len(found) == 1 else "several"
