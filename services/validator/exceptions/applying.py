"""Applying decisions to a validation: which are in force, what came of them, and how they end by themselves."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import ColumnElement, any_, bindparam, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from libs.common.database.transaction import Row, Transaction
from libs.common.events.runner import ValidationRequested
from libs.expressions import quote_literal
from services.validator.checks import SetCheck
from services.validator.datasets import these
from services.validator.exceptions import decisions
from services.validator.exceptions.corrections import of_correction, places
from services.validator.exceptions.evidence import evidence_of
from services.validator.exceptions.tables import decision
from services.validator.jail.amending import APPLIED, CAUGHT_UP
from services.validator.jail.broker import Outcome
from services.validator.jail.sealing import CORRECTIONS, FAILURES

_D = decision.c
_MOST_WAIVERS = 50_000
_BLOCKING = pa.scalar("blocking")
RULE = "amendment:"
"""Begins the rule id under which an amendment is recorded, and under which its conflict holds a record."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The decisions that a validation has to look at. `ordinals` are the places of a correction's records in its parent."""

    amendments: Sequence[Row] = ()
    waivers: Sequence[Row] = ()
    root: UUID | None = None
    ordinals: Mapping[int, int] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """Return the amendments for the jail, one row a field; in a correction of their own run they name the record."""
        return [
            {
                "id": str(row["id"]),
                "key": row["key"],
                "ordinal": self.ordinals.get(row["ordinal"], 0) if row["run_id"] == self.root else None,
                "field": name,
                "old_value": change["old"],
                "new_value": change["new"],
            }
            for row in self.amendments
            for name, change in row["changes"].items()
        ]

    def fields(self) -> list[str]:
        """Return the fields that the amendments change."""
        return sorted({name for row in self.amendments for name in row["changes"]})


@dataclass(frozen=True, slots=True)
class Overlaid:
    """What came of the amendments in one dataset: rows as the jail gives them, states by amendment and field."""

    rows: Sequence[dict[str, Any]] = ()
    states: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Sequence[dict[str, Any]]) -> "Overlaid":
        """Sum up: where a key repeats, one record that has the replaced value is enough to apply, else the new one to end."""
        found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for row in rows:
            found[row["id"]][row["field"]].add(row["state"])
        states = {id_: {name: _summed(seen) for name, seen in fields.items()} for id_, fields in found.items()}
        return cls(rows, states)

    def conflicting(self) -> list[str]:
        """Return the ids of the amendments of which a field is neither as it was nor as it shall be."""
        return [id_ for id_, fields in self.states.items() if "conflict" in fields.values()]

    def caught_up(self) -> list[str]:
        """Return the ids of the amendments that the source has made needless."""
        return [id_ for id_, fields in self.states.items() if set(fields.values()) == {CAUGHT_UP}]

    def applied(self) -> list[dict[str, Any]]:
        """Return the rows of what was applied."""
        return [row for row in self.rows if row["state"] == APPLIED]

    def note(self, id_: str) -> str:
        """Return in words what the source says where an amendment is in conflict."""
        said = {
            f"{row['field']} {row['source_value']!r}"
            for row in self.rows
            if row["id"] == id_ and self.states[id_][row["field"]] == "conflict"
        }
        return f"The source says {', '.join(sorted(said)[:3])}."


def _summed(seen: set[str]) -> str:
    return APPLIED if APPLIED in seen else CAUGHT_UP if CAUGHT_UP in seen else "conflict"


async def in_force(tx: Transaction, request: ValidationRequested) -> InForce:
    """Return the decisions that hold for a validation; for a backtest those that held for the past run."""
    if request.kind not in ("report", "correction") and request.judged_at is None:
        return InForce()
    sent = await of_correction(tx, request.run_id) if request.kind == "correction" else None
    mine = (_D.report_id == request.report_id, *_standing(request.judged_at))
    amendments: Sequence[Row] = ()
    if request.phase == "input":
        amendments = await tx.rows(select(decision).where(*mine, _D.kind == "amendment").order_by(_D.id))
    today = (request.judged_at or tx.context.now).date()
    valid = (_D.kind == "waiver", _D.phase == request.phase, _D.expires_on >= today)
    waivers = await tx.rows(select(decision).where(*mine, *valid).order_by(_D.id).limit(_MOST_WAIVERS))
    return InForce(amendments, waivers, *((sent["run_id"], places(sent)) if sent else ()))


def _standing(at: datetime | None) -> Sequence[ColumnElement[bool]]:
    """Return which decisions are in force, or were at a moment."""
    if at is None:
        return (_D.status == "active",)
    return (_D.approved_at <= at, or_(_D.ended_at.is_(None), _D.ended_at > at))


def conflicts(overlaid: Overlaid, known: InForce) -> Iterator[SetCheck]:
    """Yield a check that holds the records of each amendment in conflict, with a message that names the values."""
    amendments = {str(row["id"]): row for row in known.amendments}
    for id_ in overlaid.conflicting():
        row = amendments[id_]
        fields = tuple(name for name, state in overlaid.states[id_].items() if state == "conflict")
        ordinals = {one["_ordinal"] for one in overlaid.rows if one["id"] == id_ and one["field"] in fields}
        said = "; ".join(f"{name} was amended from {_told(row, name)}" for name in fields)
        yield SetCheck(
            rule_id=f"{RULE}{id_}",
            rule_version=row["revision"],
            severity="blocking",
            find=these(sorted(ordinals)),
            fields=fields,
            message=quote_literal(f"{said}. {overlaid.note(id_)}"[:2000]),
        )


def _told(row: Row, name: str) -> str:
    change = row["changes"][name]
    return f"{change['old']!r} to {change['new']!r}"


def add_corrections(overlaid: Overlaid, corrections: Path, known: InForce) -> int:
    """Put what amendments wrote before what rules corrected, which they corrected after it; return how many they are."""
    applied = overlaid.applied()
    if not applied:
        return 0
    revisions = {str(row["id"]): row["revision"] for row in known.amendments}
    rows = [
        {
            "_ordinal": row["_ordinal"],
            "key": row["key"],
            "field": row["field"],
            "old_value": row["source_value"],
            "new_value": row["new_value"],
            "rule_id": f"{RULE}{row['id']}",
            "rule_version": revisions[row["id"]],
        }
        for row in applied
    ]
    whole = corrections.with_suffix(".whole")
    with pq.ParquetWriter(whole, CORRECTIONS, compression="zstd") as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=CORRECTIONS))
        for batch in pq.ParquetFile(corrections).iter_batches():
            writer.write_batch(batch.cast(CORRECTIONS))
    whole.replace(corrections)
    return len(rows)


def waive_failures(outcome: Outcome, failures: Path, known: InForce) -> Outcome:
    """Mark the failures that somebody accepted as waived; return the counts as they are then."""
    accepted = {(row["key"], row["rule_id"], row["evidence"]) for row in known.waivers}
    if not accepted or not outcome.failures:
        return outcome
    keys = pa.array(sorted({key for key, _, _ in accepted}), pa.string())
    waived: dict[str, int] = defaultdict(int)
    freed: set[int] = set()
    marked = failures.with_suffix(".marked")
    with pq.ParquetWriter(marked, FAILURES, compression="zstd") as writer:
        for batch in pq.ParquetFile(failures).iter_batches():
            writer.write_batch(_marked(batch.cast(FAILURES), keys, accepted, waived, freed))
    marked.replace(failures)
    rules = tuple(rule.model_copy(update={"waived": waived.get(rule.rule_id, 0)}) for rule in outcome.rules)
    held = outcome.held - len(freed - _blocked(failures, freed))
    return outcome.model_copy(update={"rules": rules, "held": held})


def _marked(
    batch: pa.RecordBatch,
    keys: "pa.Array[Any]",
    accepted: set[tuple[str, str, UUID | None]],
    waived: dict[str, int],
    freed: set[int],
) -> pa.RecordBatch:
    """Return a batch with the accepted failures marked; those that have a key of a waiver are looked at one by one."""
    candidate = pc.and_(pc.is_in(batch["key"], value_set=keys), pc.equal(batch["severity"], _BLOCKING))
    places: list[Any] = pc.indices_nonzero(candidate).to_pylist()
    severities = batch["severity"].to_pylist() if places else []
    for place in places:
        key, rule_id, fields = (batch[name][place].as_py() for name in ("key", "rule_id", "fields"))
        if (key, rule_id, evidence_of(rule_id, fields)) in accepted:
            severities[place] = "waived"
            waived[rule_id] += 1
            freed.add(batch["_ordinal"][place].as_py())
    if not places:
        return batch
    column = batch.schema.get_field_index("severity")
    return batch.set_column(column, FAILURES.field("severity"), pa.array(severities, pa.string()))


def _blocked(failures: Path, ordinals: set[int]) -> set[int]:
    """Return those of some records that are held by another failure."""
    wanted = pa.array(sorted(ordinals), pa.int64())
    found: set[Any] = set()
    for batch in pq.ParquetFile(failures).iter_batches(columns=["_ordinal", "severity"]):
        held = pc.and_(pc.is_in(batch["_ordinal"], value_set=wanted), pc.equal(batch["severity"], _BLOCKING))
        found |= set(batch["_ordinal"].filter(held).to_pylist())
    return found


async def settle(tx: Transaction, request: ValidationRequested, overlaid: Overlaid) -> None:
    """End the amendments that the source made needless or contradicts, in the transaction that records the verdict.

    What only tries something ends nothing.
    """
    if request.kind == "backtest":
        return
    if overlaid.states:
        ids = _ids(list(overlaid.states))
        await tx.execute(update(decision).where(ids, _D.status == "active").values(last_run_id=request.run_id))
    over = dict.fromkeys(overlaid.conflicting(), "conflict") | dict.fromkeys(overlaid.caught_up(), "retired")
    if not over:
        return
    rows = await tx.rows(select(decision).where(_ids(list(over))).order_by(_D.id).with_for_update())
    for row in rows:
        if row["status"] != "active":
            continue
        if over[str(row["id"])] == "retired":
            note = f"The source has caught up in run {request.run_id}."
            await decisions.end_decision(tx, row, "amendment.retired", "retired", note)
        else:
            note = f"{overlaid.note(str(row['id']))} Seen in run {request.run_id}."
            await decisions.end_decision(tx, row, "amendment.conflicted", "conflict", note)


def _ids(ids: list[str]) -> Any:
    return _D.id == any_(bindparam(None, [UUID(id_) for id_ in sorted(ids)], type_=ARRAY(Uuid)))
