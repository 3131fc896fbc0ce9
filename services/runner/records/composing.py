"""What became of a record, in the words of the answer: the run that decided, and the corrections after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal
from uuid import UUID

import orjson

from libs.common.database.transaction import Row
from services.runner.records.requests import Found

Disposition = Literal["sent", "undelivered", "held", "filtered", "merged"]
"""What became of a record."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which records are asked about: those of a business key, in a report, for a date."""

    report_id: UUID
    business_date: date
    key: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A run that decided, and what belongs to it."""

    run: Row
    steps: Mapping[str, Row]
    deliveries: tuple[Row, ...]

    def output(self, step: str, name: str) -> Any:
        """Return the reference to a step's sealed output, or None where there is none."""
        return self.steps[step]["outputs"].get(name) if step in self.steps else None

    @property
    def outcome(self) -> str:
        """What became of the records that are in the artifacts."""
        if not self.deliveries or any(row["status"] == "succeeded" for row in self.deliveries):
            return "sent"
        return "undelivered"


def compose(question: Question, newest: Row, found: Sequence[tuple[Picture, Found]]) -> dict[str, Any]:
    """Return the answer; of the pictures the first is the run, the others are its corrections, the oldest first."""
    records: dict[int, dict[str, Any]] = {}
    for picture, rows in found:
        records |= _records(picture, rows)
    run = found[0][0].run
    deliveries = [row for picture, rows in found if rows.transformed or rows.origins for row in picture.deliveries]
    return {
        "report_id": question.report_id,
        "business_date": question.business_date,
        "key": question.key,
        "run": {"id": run["id"], "status": run["status"], "href": f"/v1/runs/{run['id']}"},
        "newest_run": {name: newest[name] for name in ("id", "status", "reason")},
        "corrections": [
            picture.run["id"] for picture, rows in found[1:] if rows.dropped or rows.transformed or rows.origins
        ],
        "extracted": bool(records),
        "disposition": _overall(records),
        "records": [records[ordinal] for ordinal in sorted(records)],
        "deliveries": [
            {name: row[name] for name in ("destination_id", "artifact_id", "status", "receipt", "reason", "ended_at")}
            for row in deliveries or found[0][0].deliveries
        ],
    }


def _records(picture: Picture, found: Found) -> dict[int, dict[str, Any]]:
    """Return by ordinal what one run made of the records; a record that goes out says what was amended and accepted."""
    records: dict[int, dict[str, Any]] = {}
    for row in found.dropped:
        entry = records.setdefault(row["_ordinal"], _entry(picture, row["_ordinal"]))
        entry |= {"disposition": row["disposition"], "step": row["step"]}
        entry["reasons"].append(_reason(picture.run["id"], row))
    for ordinal in found.transformed:
        sent = {**_entry(picture, ordinal), "disposition": picture.outcome, "step": "deliver"}
        records.setdefault(ordinal, sent)
    for behind in found.origins:
        _note_row(records, picture, behind)
    for row in found.corrected:
        if row["_ordinal"] in records:
            records[row["_ordinal"]]["corrections"].append(_correction(row))
    for row in found.waived:
        if row["_ordinal"] in records:
            waived = {name: row[name] for name in ("rule_id", "rule_version", "message")}
            records[row["_ordinal"]]["waived"].append(waived)
    return records


def _note_row(records: dict[int, dict[str, Any]], picture: Picture, behind: dict[str, int]) -> None:
    """Note a row that a record stands behind: it is the row's first, or was merged into that one's."""
    ordinal, first = behind["_ordinal"], behind["_first"]
    own = {**_entry(picture, ordinal), "disposition": picture.outcome, "step": "deliver"}
    if first != ordinal:
        own |= {"disposition": "merged", "step": "transform", "merged_into": first}
    entry = records.setdefault(ordinal, own)
    entry.setdefault("rows", []).append(behind["_row"])


def _entry(picture: Picture, ordinal: int) -> dict[str, Any]:
    return {"ordinal": ordinal, "run_id": picture.run["id"], "reasons": [], "corrections": [], "waived": []}


def _correction(row: dict[str, Any]) -> dict[str, Any]:
    kind, _, id_ = row["rule_id"].rpartition(":")
    names = ("field", "old_value", "new_value", "rule_id")
    link = f"/v1/amendments/{id_}" if kind == "amendment" else f"/v1/rules/{id_}"
    return {**{name: row[name] for name in names}, "href": link}


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


def _overall(records: dict[int, dict[str, Any]]) -> str:
    found = {entry["disposition"] for entry in records.values()}
    if not found:
        return "never extracted"
    return found.pop() if len(found) == 1 else "several"
