"""Sending records again: those of some exceptions of one run, whole, and only they."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any, Literal
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import any_, bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.types import BigInteger

from libs.common import tenancy
from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict, FieldProblem, Invalid
from libs.common.events.exceptions import ResubmissionRequested
from libs.common.events.runner import ObjectReference
from libs.common.ids import derived_id, uuid7
from libs.common.objects import Objects, tenant_key
from services.validator.exceptions import changing, unsealed
from services.validator.exceptions.changing import Change
from services.validator.exceptions.filters import Filter
from services.validator.exceptions.states import require_transition
from services.validator.exceptions.tables import exception, resubmission
from services.validator.exceptions.working import Choice, announce, choose

_E = exception.c
_AGGREGATED = """
SELECT EXISTS (SELECT FROM job WHERE tenant_id = $1 AND run_id = $2 AND task = 'validate' AND request->>'phase' = 'output'
               AND request->>'yields' = 'aggregate')
"""
Versions = Literal["pinned", "latest"]
Status = Literal["requested", "ended"]


@dataclass(frozen=True, slots=True)
class Wish:
    """How records are sent again: with the versions of their run, or those in force now; and why."""

    versions: Versions = "pinned"
    comment: str = ""


async def resubmit(tx: Transaction, objects: Objects, exception_id: UUID, revision: int, wish: Wish) -> Row:
    """Send the record of an exception again; returns the resubmission.

    Raises:
        NotFound, PreconditionFailed: see `changing.lock`. WrongStatus: the exception cannot be resubmitted.
        Conflict: the record is on its way already, or being judged. TenantSuspended.
    """
    row = await changing.lock(tx, exception_id, revision)
    require_transition(row["status"], "resubmitted")
    choice = Choice(Filter(run_id=row["run_id"], key=row["key"]), 1)
    return await _send(tx, objects, [row], choice, wish)


async def resubmit_many(
    tx: Transaction, objects: Objects, choice: Choice, wish: Wish
) -> tuple[Sequence[Row], Row | None]:
    """Send the records of a choice's exceptions again, which are of one run; returns these and the resubmission.

    Raises:
        Invalid, Conflict: see `choose` and `resubmit`. Invalid: they are of several runs.
    """
    rows = await choose(tx, "resubmit", choice)
    if not rows:
        return rows, None
    if len({row["run_id"] for row in rows}) > 1:
        problem = FieldProblem("/filter/run_id", "must name one run: a correction is of one")
        raise Invalid("The exceptions are of several runs.", type="several-runs", fields=[problem])
    return rows, await _send(tx, objects, rows, choice, wish)


async def _send(tx: Transaction, objects: Objects, rows: Sequence[Row], choice: Choice, wish: Wish) -> Row:
    """Send records again with everything that is open of them."""
    await tenancy.require_active(tx)
    await _require_records(tx, rows)
    await _require_judged(
        tx, rows
    )  # first: whoever judges these by now has opened all that there is of them, or is seen
    whole = await _whole_records(tx, rows)
    id_ = uuid7(tx.context.now)
    ordinals = sorted({row["ordinal"] for row in whole})
    first = rows[0]
    values: dict[str, Any] = {
        "id": id_,
        **{name: first[name] for name in ("run_id", "report_id", "business_date")},
        "correction_run_id": derived_id("correction", str(tx.tenant_id), str(id_)),
        "ordinals": ordinals,
        "records": len(ordinals),
        "versions": wish.versions,
        "comment": wish.comment,
        "status": "requested",
        "requested_by": tx.context.actor,
        "requested_at": tx.context.now,
    }
    await tx.execute(insert(resubmission).values(tenant_id=tx.tenant_id, **values))
    change = Change("resubmitted", {"status": "resubmitted", "resubmission_id": id_}, wish.comment)
    await changing.apply(tx, whole, change)
    await announce(tx, objects, "resubmit", choice, whole, change)
    names = ("run_id", "report_id", "business_date", "correction_run_id", "records", "versions")
    data = ResubmissionRequested(
        resubmission_id=id_,
        **{name: values[name] for name in names},
        ordinals=await _sealed(tx, objects, id_, ordinals),
    )
    await tx.emit("resubmission.requested", data, entity=id_)
    return values


async def _require_records(tx: Transaction, rows: Sequence[Row]) -> None:
    """Refuse to send rows that stand for many records: a part of them would be reported as all of them.

    Raises:
        Conflict: an exception is of such a row.
    """
    if all(row["phase"] == "input" for row in rows):
        return
    if await tx.connection.fetchval(_AGGREGATED, tx.tenant_id, rows[0]["run_id"]):
        text = "The exception is of a row that stands for many records; run the report again."
        raise Conflict(text, type="rows-not-records")


async def _require_judged(tx: Transaction, rows: Sequence[Row]) -> None:
    """Refuse records, of which the caller holds exceptions, that a verdict which is not told yet may hold again.

    Raises:
        Conflict: one of them is being judged.
    """
    judged = [one for one in await unsealed.judging(tx) if one.task == "validate"]
    sent = {(one.resubmission_id, one.phase) for one in judged if one.resubmission_id}
    runs = {(one.run_id, one.phase) for one in judged if not one.resubmission_id}
    if any((row["resubmission_id"], row["phase"]) in sent or (row["run_id"], row["phase"]) in runs for row in rows):
        text = "A record of these is being judged; send it again when its verdict is told."
        raise Conflict(text, type="being-judged")


async def _whole_records(tx: Transaction, rows: Sequence[Row]) -> Sequence[Row]:
    """Return everything that is not closed of the rows' records, held until we commit.

    Raises:
        Conflict: one of the records is on its way already.
    """
    ordinals = any_(bindparam(None, sorted({row["ordinal"] for row in rows}), type_=ARRAY(BigInteger)))
    mine = (_E.run_id == rows[0]["run_id"], _E.ordinal == ordinals, _E.status != "closed")
    whole = await tx.rows(select(exception).where(*mine).order_by(_E.id).with_for_update())
    if any(row["status"] == "resubmitted" for row in whole):
        raise Conflict("A record of these is being sent again already.", type="already-resubmitted")
    return whole


async def _sealed(tx: Transaction, objects: Objects, id_: UUID, ordinals: list[int]) -> ObjectReference:
    file = BytesIO()
    pq.write_table(pa.table({"_ordinal": pa.array(ordinals, pa.int64())}), file)
    sealed = await objects.put(tenant_key(tx.tenant_id, "resubmissions", f"{id_}.parquet"), file.getvalue())
    return ObjectReference(**asdict(sealed))
