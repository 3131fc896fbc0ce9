"""Opening exceptions: from a validation's failures, some thousand at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pyarrow.compute as pc
import pyarrow.parquet as pq

from libs.common.database.transaction import Transaction
from services.validator.exceptions import tally
from services.validator.exceptions.evidence import NOTHING, evidence_of, terms_of
from services.validator.exceptions.policy import due_of

_CHUNK = 5000
_MOST_CAUSES = 2000
_COLUMNS = ("_ordinal", "key", "rule_id", "rule_version", "outcome", "fields", "message")
_OPEN = """
INSERT INTO exception (tenant_id, run_id, report_id, business_date, phase, opened_at, due_at, ordinal, key, rule_id,
                       rule_version, outcome, fields, message, rule_name, evidence, grouped, found_by, status)
SELECT $1, $2, $3, $4, $5, $6, $7, u.ordinal, u.key, u.rule_id, u.rule_version, u.outcome, u.fields::jsonb, u.message,
       u.rule_name, u.evidence, u.grouped, $8, 'open'
FROM unnest($9::bigint[], $10::text[], $11::text[], $12::int[], $13::text[], $14::text[], $15::text[], $16::text[],
            $17::uuid[], $18::boolean[])
     AS u (ordinal, key, rule_id, rule_version, outcome, fields, message, rule_name, evidence, grouped)
ON CONFLICT DO NOTHING RETURNING id, ordinal, rule_id
"""
_TERMS = """
INSERT INTO exception_term (tenant_id, term, opened_at, exception_id)
SELECT $1, u.term, $2, u.id FROM unnest($3::bigint[], $4::uuid[]) AS u (term, id) ON CONFLICT DO NOTHING
"""
_CAUSES = """
SELECT rule_id, evidence FROM exception_tally
WHERE tenant_id = $1 AND scope = $2 AND phase = $3 AND evidence <> $4
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where exceptions come from; `names` are the rules' names by id, `found_by` the resubmission of a correction run."""

    run_id: UUID
    report_id: UUID
    business_date: date
    phase: str
    names: Mapping[str, str] = field(default_factory=dict)
    found_by: UUID | None = None


class Causes:
    """The causes of a run that are counted one by one: of each rule the first two thousand."""

    def __init__(self, known: Mapping[str, set[UUID]]) -> None:
        self._known = dict(known)

    @classmethod
    async def of(cls, tx: Transaction, origin: Origin) -> "Causes":
        """Return the causes that the run has so far."""
        known: dict[str, set[UUID]] = {}
        for row in await tx.connection.fetch(_CAUSES, tx.tenant_id, origin.run_id, origin.phase, NOTHING):
            known.setdefault(row["rule_id"], set()).add(row["evidence"])
        return cls(known)

    def takes(self, rule_id: str, evidence: UUID) -> bool:
        """Say whether a cause is counted by itself, from now on if there is room."""
        known = self._known.setdefault(rule_id, set())
        if evidence not in known and len(known) >= _MOST_CAUSES:
            return False
        known.add(evidence)
        return True


def blocking(failures: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield a validation's blocking failures, some thousand at a time."""
    for batch in pq.ParquetFile(failures).iter_batches(batch_size=_CHUNK):
        yield batch.filter(pc.field("severity") == "blocking").select(_COLUMNS).to_pylist()


async def open_some(tx: Transaction, *, origin: Origin, causes: Causes, rows: list[dict[str, Any]]) -> None:
    """Open an exception for each failure, found by its rule's name, its cause and its values.

    Those that are open already stay.
    """
    if not rows:
        return
    described = {(row["_ordinal"], row["rule_id"]): _described(origin, causes, row) for row in rows}
    names = (*_COLUMNS, "rule_name", "evidence", "grouped")
    columns = [[row[name] for row in described.values()] for name in names]
    common = (origin.run_id, origin.report_id, origin.business_date, origin.phase)
    now, due = tx.context.now, await due_of(tx)
    opened = await tx.connection.fetch(_OPEN, tx.tenant_id, *common, now, due, origin.found_by, *columns)
    made = [(row["id"], described[row["ordinal"], row["rule_id"]]) for row in opened]
    terms: list[int] = []
    ids: list[UUID] = []
    for id_, row in made:
        values = orjson.loads(row["fields"])
        found = list(terms_of(values))
        terms += found
        ids += [id_] * len(found)
        tally.count(tx, {**row, "fields": values}, {"open": 1})
    await add_terms(tx, now, terms, ids)


async def add_terms(tx: Transaction, opened_at: datetime, terms: list[int], ids: list[UUID]) -> None:
    """Let exceptions that were opened at one moment be found by their values, a term and an id each."""
    await tx.connection.execute(_TERMS, tx.tenant_id, opened_at, terms, ids)


def _described(origin: Origin, causes: Causes, row: dict[str, Any]) -> dict[str, Any]:
    evidence = evidence_of(row["rule_id"], row["fields"])
    return {
        **row,
        "rule_name": origin.names.get(row["rule_id"], row["rule_id"]),
        "evidence": evidence,
        "grouped": causes.takes(row["rule_id"], evidence),
        "phase": origin.phase,
        "run_id": origin.run_id,
        "report_id": origin.report_id,
    }
