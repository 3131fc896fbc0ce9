"""Lending a run's sealed records to the validator, for rules to be tried on."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import timedelta

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions.copies import Pinned
from libs.common.errors import Conflict, Refusal
from libs.common.events.envelope import Event
from libs.common.events.runner import ExtractGranted, ExtractRefused, ObjectReference, VersionReference
from libs.common.events.validator import TryAsked
from libs.common.identity.grants import GrantSigner
from libs.common.objects import ObjectAlteredError, ObjectMissingError, Sealed, tenant_key
from services.runner.library import REPORT, Library
from services.runner.store import parts, runs

_LIFE = timedelta(minutes=10)
_RECORDS = {"input": ("extract", "extract"), "output": ("transform", "records")}


def on_try_asked(library: Library, signer: GrantSigner) -> Callable[[Transaction, Event], Awaitable[None]]:
    """Return what the runner does when rules shall be tried on a run's records."""

    async def handle(tx: Transaction, event: Event) -> None:
        data = TryAsked.model_validate(event.data)
        try:
            granted = await _granted(tx, library, signer, data)
        except (Refusal, ObjectMissingError, ObjectAlteredError) as error:
            code, text = (error.kind, error.detail) if isinstance(error, Refusal) else ("object-missing", "It is gone.")
            refused = ExtractRefused(try_id=data.try_id, run_id=data.run_id, code=code, message=text)
            await tx.emit("extract.refused", refused, entity=data.try_id)
        else:
            await tx.emit("extract.granted", granted, entity=data.try_id)

    return handle


async def _granted(tx: Transaction, library: Library, signer: GrantSigner, data: TryAsked) -> ExtractGranted:
    run = await runs.find(tx, data.run_id)
    sealed, rows = await _records(tx, run, data.phase)
    report = await library.read(Pinned.from_json(run["pins"][0]), REPORT)
    schema = report.source_schema_id if data.phase == "input" else report.target_schema_id
    reference = ObjectReference(**asdict(sealed))
    return ExtractGranted(
        try_id=data.try_id,
        run_id=data.run_id,
        phase=data.phase,
        business_date=run["business_date"],
        as_of=run["as_of"],
        schema_version=next(VersionReference(**pin) for pin in run["pins"] if pin["id"] == str(schema)),
        business_key=report.business_key,
        dataset=reference,
        rows=rows,
        grant=signer.grant(
            tx.tenant_id,
            data.run_id,
            f"try:{data.try_id}",
            reads=(reference,),
            writes=tenant_key(tx.tenant_id, "tries", str(data.try_id)) + "/",
            expires=tx.context.now + _LIFE,
        ),
    )


async def _records(tx: Transaction, run: Row, phase: str) -> tuple[Sealed, int]:
    step, name = _RECORDS[phase]
    done = {row["step"]: row for row in await parts.steps(tx, run["id"])}
    found = done[step]["outputs"].get(name) if step in done else None
    if found is None:
        raise Conflict(_why_none(run, phase), type="nothing-sealed")
    return Sealed(**found), int(done[step]["facts"]["rows"])


def _why_none(run: Row, phase: str) -> str:
    """Say why a run has no sealed records, and whether it is worth asking again."""
    missing = f"no sealed records of the {phase} phase"
    if run["ended_at"] is None:
        return f"The run is {run['status']} and has {missing} yet; ask again when it has ended."
    if run["kind"] == "sample" and run["status"] == "succeeded":
        return f"A sample has {missing}; ask with a run that transformed its records."
    return f"The run ended as {run['status']} and has {missing}. {run['reason']}".strip()
