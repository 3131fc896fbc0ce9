import asyncio

from libs.common.database.transaction import Row
from libs.common.objects import Sealed
from libs.common.vocabulary.connections import DestinationSpec
from services.runner.commands.results import DeliveryResult, StepResult
from services.runner.destinations.directory import DirectoryReceipt, deliver_to_directory
from services.runner.domain.ledger import Balance
from services.runner.engines.errors import DataPathError, DeliveryError
from services.runner.library import DESTINATION
from services.runner.steps.job import Job


async def deliver(job: Job) -> StepResult:
    """Bring every artifact to every destination; one that fails does not stop the others.

    Delivering again what a lost worker delivered changes nothing: destinations are idempotent.
    """
    started = job.tools.now()
    artifacts = {row["id"]: row for row in job.claim.artifacts}
    results = [await _one(job, row, artifacts[row["artifact_id"]]) for row in job.claim.deliveries]
    records = int(job.facts("render")["rows"])
    balance = Balance(records_in=records, records_out=records)
    return StepResult("deliver", started, balance, deliveries=tuple(results))


async def _one(job: Job, row: Row, artifact: Row) -> DeliveryResult:
    known = {"id": row["id"], "artifact_id": row["artifact_id"], "destination_id": row["destination_id"]}
    try:
        receipt = await job.patiently(lambda: _send(job, row, artifact))
    except DataPathError as error:
        return DeliveryResult(**known, code=error.code, reason=error.message)
    return DeliveryResult(**known, receipt=receipt.model_dump(mode="json"))


async def _send(job: Job, row: Row, artifact: Row) -> DirectoryReceipt:
    spec: DestinationSpec = await job.plan.spec("destination", row["destination_id"], DESTINATION)
    root = job.tools.destinations.directory(job.run["tenant_id"], spec.root)
    if root is None:
        raise DeliveryError("root-undeclared", f"The operator has declared no destination directory {spec.root!r}.")
    sealed = Sealed(artifact["object_key"], artifact["sha256"], artifact["size"])
    path = await job.workspace.file(sealed)
    return await asyncio.to_thread(deliver_to_directory, root, spec.path, artifact["name"], path, sealed.sha256)
