"""Reading the queue."""

from typing import Any
from uuid import UUID

from sqlalchemy import select

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import NotFound
from services.validator.exceptions.evidence import NOTHING
from services.validator.exceptions.filters import Asker, Filter, shown_columns
from services.validator.exceptions.tables import exception, resubmission
from services.validator.exceptions.unsealed import judging

_E = exception.c
_GROUPS = """
SELECT t.rule_id, t.rule_name, t.rule_version, t.phase,
       t.open + t.amended + t.waived + t.resubmitted + t.closed AS records,
       t.open, t.amended, t.waived, t.resubmitted, t.closed
FROM exception_tally t
WHERE t.tenant_id = $1 AND t.scope = $2 AND t.evidence = '00000000-0000-0000-0000-000000000000'
ORDER BY t.open DESC, records DESC, t.rule_name, t.rule_id LIMIT $3
"""
# The causes with the most open exceptions, of each of the given rules.
_CAUSES = """
SELECT r.rule_id, r.phase, c.evidence AS cause, c.fields, c.open, c.amended, c.waived, c.resubmitted, c.closed
FROM unnest($3::text[], $4::text[]) AS r (rule_id, phase) CROSS JOIN LATERAL (
    SELECT * FROM exception_tally t
    WHERE t.tenant_id = $1 AND t.scope = $2 AND t.rule_id = r.rule_id AND t.phase = r.phase
      AND t.evidence <> '00000000-0000-0000-0000-000000000000' ORDER BY t.open DESC LIMIT $5) c
"""
_OF_RUN = """
SELECT r.rule_id, r.phase, e.id, e.key, e.ordinal, e.fields, e.message, e.opened_at
FROM unnest($3::text[], $4::text[], $5::text[]) AS r (rule_id, phase, status) CROSS JOIN LATERAL (
    SELECT * FROM exception x WHERE x.tenant_id = $1 AND x.run_id = $2 AND x.rule_id = r.rule_id
      AND x.status = r.status AND x.phase = r.phase ORDER BY x.opened_at, x.id LIMIT $6) e
"""
_OF_REPORT = """
SELECT r.rule_id, r.phase, e.id, e.key, e.ordinal, e.fields, e.message, e.opened_at
FROM unnest($3::text[], $4::text[], $5::text[]) AS r (rule_id, phase, status) CROSS JOIN LATERAL (
    SELECT * FROM exception x WHERE x.tenant_id = $1 AND x.report_id = $2 AND x.rule_id = r.rule_id
      AND x.status = r.status AND x.phase = r.phase ORDER BY x.opened_at, x.id LIMIT $6) e
"""
_OF_ALL = """
SELECT r.rule_id, r.phase, e.id, e.key, e.ordinal, e.fields, e.message, e.opened_at
FROM unnest($3::text[], $4::text[], $5::text[]) AS r (rule_id, phase, status) CROSS JOIN LATERAL (
    SELECT * FROM exception x WHERE x.tenant_id = $1 AND $2::uuid IS NOT NULL AND x.rule_id = r.rule_id
      AND x.status = r.status AND x.phase = r.phase ORDER BY x.opened_at, x.id LIMIT $6) e
"""
_MOST_GROUPS = 600
_IN_ORDER = (
    "SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; SET LOCAL plan_cache_mode = force_custom_plan"
)


async def find(tx: Transaction, exception_id: UUID) -> dict[str, Any]:
    """Return an exception as it looks from outside.

    Raises:
        NotFound: there is none.
    """
    columns = (_E.id, _E.opened_at, *shown_columns(Asker(tx.tenant_id, tx.context.now, judging=await judging(tx))))
    row = await tx.row(select(*columns).where(_E.id == exception_id))
    if row is None:
        raise NotFound("There is no such exception.")
    return dict(row)


async def groups(
    tx: Transaction, run_id: UUID | None, report_id: UUID | None, *, samples: int, causes: int
) -> list[dict[str, Any]]:
    """Return the exceptions of a run, a report, or all of the tenant's, by rule: the most open ones first.

    Each with its counts by status, the oldest that is open, some records as samples, its largest causes, and whether
    a verdict is awaited that may add to it.
    """
    scope = run_id or report_id or NOTHING
    rules = [dict(row) for row in await tx.connection.fetch(_GROUPS, tx.tenant_id, scope, _MOST_GROUPS)]
    places = {(rule["rule_id"], rule["phase"]): rule for rule in rules}
    awaited = {one.phase for one in await judging(tx) if scope in (NOTHING, one.run_id, UUID(one.report_id))}
    for rule in rules:
        rule |= {"provisional": rule["phase"] in awaited, "oldest": None, "samples": [], "causes": []}
    statuses = [_sampled(rule) for rule in rules]
    names, phases = [rule["rule_id"] for rule in rules], [rule["phase"] for rule in rules]
    await read_in_order(tx)
    place = (tx.tenant_id, scope, names, phases, statuses, max(samples, 1))
    found = await tx.connection.fetch(_OF_RUN if run_id else _OF_REPORT if report_id else _OF_ALL, *place)
    for row in found:
        _add_sample(places[row["rule_id"], row["phase"]], row, samples)
    if causes:
        for row in await tx.connection.fetch(_CAUSES, tx.tenant_id, scope, names, phases, causes):
            cause = {name: value for name, value in row.items() if name not in ("rule_id", "phase")}
            places[row["rule_id"], row["phase"]]["causes"].append(cause)
    return rules


def _sampled(rule: dict[str, Any]) -> str:
    """Return the status of which samples are shown: the first that has any."""
    return next((name for name in ("open", "amended", "waived", "resubmitted") if rule[name] > 0), "closed")


def _add_sample(rule: dict[str, Any], row: Row, samples: int) -> None:
    if rule["oldest"] is None and rule["open"]:
        rule["oldest"] = row["opened_at"]
    if len(rule["samples"]) < samples:
        rule["samples"].append({name: row[name] for name in ("id", "key", "ordinal", "fields", "message")})


async def read_in_order(tx: Transaction) -> None:
    """Have the rest of a transaction read indexes in their order, each for the tenant that asks.

    The engine knows how much tenants have on average. Where most have little it would collect and sort all of one
    that has much, to show a page.
    """
    await tx.connection.execute(_IN_ORDER)


async def asker(tx: Transaction, wanted: Filter) -> Asker:
    """Return who asks for a filter's exceptions."""
    return Asker(tx.tenant_id, tx.context.now, await resubmission_of_run(tx, wanted.run_id), await judging(tx))


async def resubmission_of_run(tx: Transaction, run_id: UUID | None) -> UUID | None:
    """Return the resubmission whose correction run this is, if it is one."""
    if run_id is None:
        return None
    found: UUID | None = await tx.value(select(resubmission.c.id).where(resubmission.c.correction_run_id == run_id))
    return found
