"""Which exceptions rest on an amendment: its own, and those whose amendments it took the place of.

Several rules often fail for one reason: who amends the record by one exception and then by another has one amendment in
force, which both rest on. When that is taken back, both wait for somebody again.
"""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from services.validator.exceptions import changing
from services.validator.exceptions.changing import Change

# By the decisions of the record: no index of exceptions leads to those that rest on a decision.
_RESTING = """
SELECT e.* FROM exception e
WHERE e.tenant_id = $1 AND e.status = 'amended' AND e.decision_id = ANY($2) AND e.id = ANY(ARRAY(
    SELECT d.exception_id FROM decision o
    JOIN decision d ON d.tenant_id = o.tenant_id AND d.report_id = o.report_id AND d.kind = o.kind AND d.key = o.key
    WHERE o.tenant_id = $1 AND o.id = ANY($2) AND o.kind = 'amendment'))
ORDER BY e.id FOR UPDATE
"""


async def rest_on(tx: Transaction, ids: Collection[UUID]) -> Sequence[Row]:
    """Return the exceptions that rest on some amendments, held until we commit."""
    rows: Sequence[Row] = await tx.connection.fetch(_RESTING, tx.tenant_id, sorted(ids))
    return rows


async def move(tx: Transaction, taken: Mapping[UUID, UUID]) -> None:
    """Have what rests on amendments rest on those that take their place."""
    rows = await rest_on(tx, taken.keys())
    own = {"decision_id": [taken[row["decision_id"]] for row in rows]}
    await changing.apply(tx, rows, Change("amended", comment="Another amendment of the record takes its place."), own)
