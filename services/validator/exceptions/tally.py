"""Counts of exceptions by rule and cause: changed in the transaction that changes the exceptions, so always exact."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from libs.common.database.transaction import Transaction
from services.validator.exceptions.evidence import NOTHING
from services.validator.exceptions.states import STATUSES

# in one order everywhere, so that two transactions never wait for each other
_CHANGE = """
INSERT INTO exception_tally AS t (tenant_id, scope, rule_id, phase, evidence, rule_name, rule_version, fields,
                                  open, amended, waived, resubmitted, closed)
SELECT $1, u.* FROM unnest($2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::int[], $8::jsonb[],
                           $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[])
    AS u (scope, rule_id, phase, evidence, rule_name, rule_version, fields, open, amended, waived, resubmitted, closed)
ORDER BY u.scope, u.rule_id, u.phase, u.evidence
ON CONFLICT (tenant_id, scope, rule_id, phase, evidence) DO UPDATE SET
    open = t.open + excluded.open, amended = t.amended + excluded.amended, waived = t.waived + excluded.waived,
    resubmitted = t.resubmitted + excluded.resubmitted, closed = t.closed + excluded.closed,
    rule_name = excluded.rule_name, rule_version = greatest(t.rule_version, excluded.rule_version)
"""
_MOVED = """
SELECT run_id, report_id, rule_id, phase, status, grouped, CASE WHEN grouped THEN evidence END AS evidence,
       any_value(rule_name) AS rule_name, max(rule_version) AS rule_version, any_value(fields) AS fields, count(*) AS number
FROM exception WHERE tenant_id = $1 AND id = ANY($2) AND status <> $3
GROUP BY run_id, report_id, rule_id, phase, status, grouped, CASE WHEN grouped THEN evidence END
"""

Key = tuple[UUID, str, str, UUID]


class _Changes:
    """What a transaction adds to the counts, written at its end in one statement."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._counts: dict[Key, dict[str, int]] = defaultdict(lambda: dict.fromkeys(STATUSES, 0))
        self._labels: dict[Key, tuple[str, int, Any]] = {}

    def add(self, row: Mapping[str, Any], changes: Mapping[str, int]) -> None:
        for scope in (row["run_id"], row["report_id"], NOTHING):
            self._add((scope, row["rule_id"], row["phase"], NOTHING), row, {}, changes)
            if row["grouped"]:
                self._add((scope, row["rule_id"], row["phase"], row["evidence"]), row, row["fields"], changes)

    def _add(self, key: Key, row: Mapping[str, Any], fields: Any, changes: Mapping[str, int]) -> None:
        counts = self._counts[key]
        for status, number in changes.items():
            counts[status] += number
        self._labels.setdefault(key, (row["rule_name"], row["rule_version"], fields))

    async def __call__(self) -> None:
        keys = list(zip(*self._counts, strict=True))
        labels = list(zip(*(self._labels[key] for key in self._counts), strict=True))
        counts = [[each[status] for each in self._counts.values()] for status in STATUSES]
        await self._tx.connection.execute(_CHANGE, self._tx.tenant_id, *keys, *labels, *counts)


def count(tx: Transaction, row: Mapping[str, Any], changes: Mapping[str, int]) -> None:
    """Change the counts that an exception stands in: status → how many more; written when the transaction ends."""
    waiting = tx.at_end.setdefault(("tally",), _Changes(tx))
    if isinstance(waiting, _Changes):
        waiting.add(row, changes)


async def move(tx: Transaction, ids: Sequence[UUID], after: str) -> None:
    """Count exceptions, which the caller holds and has not changed yet, in another status than the one that they have."""
    for row in await tx.connection.fetch(_MOVED, tx.tenant_id, ids, after):
        count(tx, row, {row["status"]: -row["number"], after: row["number"]})
