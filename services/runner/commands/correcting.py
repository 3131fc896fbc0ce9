"""Corrections: the records of a run that somebody decided of, again, and only they."""

from typing import Any
from uuid import UUID

from libs.common import tenancy
from libs.common.database.transaction import Row, Transaction
from libs.common.definitions.copies import Pinned
from libs.common.errors import Refusal
from libs.common.events.envelope import Event
from libs.common.events.exceptions import ResubmissionRequested
from libs.common.ids import derived_id
from libs.common.objects import is_of
from services.runner.commands.creation import Order, add_pinned, add_waiting
from services.runner.commands.moves import fail
from services.runner.commands.pinning import Pinning
from services.runner.domain.states import ENDED
from services.runner.store import parts, runs


class NoSuchRun(Refusal):
    """What is to be corrected is not there."""


async def on_resubmission_requested(tx: Transaction, event: Event) -> None:
    """Make the one correction run of a resubmission; one that cannot be made is there as failed, with the reason.

    Raises:
        NoSuchRun: the tenant has no such run, or the list of records is not the tenant's.
    """
    data = ResubmissionRequested.model_validate(event.data)
    run_id = correction_of(tx.tenant_id, data.resubmission_id)
    if await runs.exists(tx, run_id):
        return
    if not await runs.exists(tx, data.run_id) or not is_of(tx.tenant_id, data.ordinals.key):
        raise NoSuchRun("The resubmission names no run and records of the tenant's.")
    parent = await runs.find(tx, data.run_id)
    steps = {row["step"]: row for row in await parts.steps(tx, parent["id"])}
    extract = steps["extract"]["outputs"].get("extract") if "extract" in steps else None
    facts = steps["extract"]["facts"] if extract else {}
    selection = {"ordinals": data.ordinals.model_dump(), "extract": extract, "column_types": facts.get("column_types")}
    more = {"id": run_id, "parent_id": parent["id"], "selection": selection, "created_by": event.actor}
    fault = await _fault(tx, parent, extract)
    if fault is None and data.versions == "pinned":
        await _repeat(tx, parent, more)
        return
    order = Order(parent["report_id"], parent["business_date"], kind="correction")
    run = await add_waiting(tx, order, trigger="correction", **more)
    if fault is not None:
        await fail(tx, run, *fault)


def correction_of(tenant_id: UUID, resubmission_id: UUID) -> UUID:
    """Return the id of a resubmission's run: asked for twice, it is one."""
    return derived_id("correction", str(tenant_id), str(resubmission_id))


async def _fault(tx: Transaction, parent: Row, extract: Any) -> tuple[str, str] | None:
    if not await tenancy.is_active(tx):
        return "tenant-suspended", "The tenant is suspended."
    if extract is None:
        return "extract-missing", "The run that is to be corrected has no sealed extract."
    if parent["status"] in ENDED and parent["status"] not in ("succeeded", "partial"):
        return "nothing-to-correct", f"The run {parent['status']} and reported nothing; run it again."
    return None


async def _repeat(tx: Transaction, parent: Row, more: dict[str, Any]) -> None:
    """Queue the run with its parent's versions and rules."""
    order = Order(parent["report_id"], parent["business_date"], parent["as_of"], kind="correction")
    pinning = Pinning(parent["report_name"], tuple(Pinned.from_json(version) for version in parent["pins"]))
    calendar = {name: parent[name] for name in ("calendar_id", "calendar_version")}
    await add_pinned(tx, order, pinning, trigger="correction", rules_of=parent["id"], **calendar, **more)
