"""What catalog does beside the common life of definitions."""

import asyncio
import base64
import binascii
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from libs.common.crypto.boxes import seal_box
from libs.common.crypto.vault import Vault
from libs.common.database.transaction import Transaction
from libs.common.definitions import policies
from libs.common.definitions import store as definitions
from libs.common.definitions.kinds import Kind, Specs
from libs.common.errors import FieldProblem, Forbidden, Invalid, Refusal
from libs.common.events.catalog import CredentialLeased, CredentialRefused, SecretChanged
from libs.common.events.definitions import PolicyChanged
from libs.common.events.envelope import Event
from libs.common.events.scheduler import ScheduleChanged
from libs.common.http.door import require_revision
from libs.common.vocabulary.connections import ConnectorSpec, DestinationSpec
from libs.common.vocabulary.mappings import MappingSpec
from libs.common.vocabulary.policies import PublicationPolicy
from libs.common.vocabulary.reports import ReportSpec
from libs.common.vocabulary.schemas import SchemaSpec
from libs.common.vocabulary.xsd import XsdSetSpec
from services.catalog import store
from services.catalog.domain import report_problems, report_references, xsd_problems

_POINT = 32


async def check_report(tx: Transaction, spec: ReportSpec, specs: Specs) -> None:
    """Refuse a report whose parts do not fit.

    Raises:
        Invalid: names every field that does not fit.
    """
    source = await _part(tx, specs, "schema", spec.source_schema_id, "/spec/source_schema_id")
    target = await _part(tx, specs, "schema", spec.target_schema_id, "/spec/target_schema_id")
    mappings = {
        alias: MappingSpec.model_validate(await _part(tx, specs, "mapping", id_, f"/spec/mappings/{alias}"))
        for alias, id_ in spec.mappings.items()
    }
    schemas = SchemaSpec.model_validate(source), SchemaSpec.model_validate(target)
    problems = await asyncio.to_thread(report_problems, spec, *schemas, mappings)
    if problems:
        raise Invalid("The report's parts do not fit each other.", fields=problems)


async def _part(tx: Transaction, specs: Specs, kind: str, id_: UUID, field: str) -> Any:
    spec = await specs.spec_of(tx, kind, id_)
    if spec is None:
        raise Invalid(
            "It refers to something unknown.", type="bad-reference", fields=[FieldProblem(field, f"no such {kind}")]
        )
    return spec


async def check_xsd_set(_tx: Transaction, spec: XsdSetSpec, _specs: Specs) -> None:
    """Refuse a set with a file that is no XML Schema.

    Raises:
        Invalid: names the file.
    """
    problems = xsd_problems(spec)
    if problems:
        raise Invalid("A file is no XML Schema.", fields=problems)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("connector", "connectors", TypeAdapter(ConnectorSpec)),
        Kind("schema", "schemas", TypeAdapter(SchemaSpec), replayed=True),
        Kind("mapping", "mappings", TypeAdapter(MappingSpec), replayed=True),
        Kind("xsd_set", "xsd_sets", TypeAdapter(XsdSetSpec), check=check_xsd_set),
        Kind("destination", "destinations", TypeAdapter(DestinationSpec)),
        Kind("report", "reports", TypeAdapter(ReportSpec), report_references, check_report),
    )
}


async def set_secret(tx: Transaction, vault: Vault, kind: str, id_: UUID, secret: dict[str, str]) -> None:
    """Keep a connector's or destination's secret, encrypted; the old one is overwritten.

    Raises:
        NotFound: there is no such connector.
    """
    await definitions.lock(tx, kind, id_)
    sealed = await vault.seal(tx, table="secret", column="sealed", row=str(id_), secret=orjson.dumps(secret))
    await store.put_secret(tx, id_, sealed)
    await tx.emit("secret.changed", SecretChanged(kind=kind, id=id_, fields=tuple(sorted(secret))), entity=id_)


class LeaseRequest(BaseModel):
    """What the runner asks: one connector's credentials for one attempt at one step of one run."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    tenant_id: UUID
    run_id: UUID
    step: str = Field(max_length=50)
    attempt: int = Field(default=1, ge=1)
    report_id: UUID
    report_version: int = Field(ge=1)
    connector_id: UUID
    public_key: str

    def purpose(self) -> bytes:
        """Return what the box is bound to."""
        return f"lease:{self.tenant_id}:{self.run_id}:{self.step}:{self.connector_id}".encode()

    def receiver(self) -> bytes:
        """Return the ephemeral X25519 public key.

        Raises:
            Forbidden: it is none.
        """
        try:
            point = base64.b64decode(self.public_key, validate=True)
        except (binascii.Error, ValueError):
            point = b""
        if len(point) != _POINT:
            raise Forbidden("The public key is no X25519 key.")
        return point


@dataclass(frozen=True, slots=True)
class Lease:
    """Credentials sealed to who asked."""

    box: bytes

    def as_json(self) -> dict[str, str]:
        """Return the answer on the bus."""
        return {"box": base64.b64encode(self.box).decode()}

    @classmethod
    def seal(cls, request: LeaseRequest, content: dict[str, Any]) -> Self:
        """Seal credentials to the request's key and purpose."""
        return cls(seal_box(request.receiver(), orjson.dumps(content), request.purpose()))


async def lease(tx: Transaction, vault: Vault, request: LeaseRequest, seconds: int) -> Lease:
    """Lend a connector's credentials, once for each attempt at a step.

    Raises:
        Forbidden: the report version does not use the connector in this tenant, or the lease was given before.
    """
    if not await store.uses(tx, request.report_id, request.report_version, request.connector_id):
        raise Forbidden("This report version does not use this connector.")
    if not await store.add_lease(tx, request.run_id, request.step, request.attempt, request.connector_id):
        raise Forbidden("This attempt has had its lease, or a later one has.")
    sealed = await store.find_secret(tx, request.connector_id)
    secret: dict[str, str] = {}
    if sealed is not None:
        row = str(request.connector_id)
        secret = orjson.loads(await vault.open(tx, table="secret", column="sealed", row=row, sealed=sealed))
    expires = tx.context.now + timedelta(seconds=seconds)
    answer = Lease.seal(request, {"secret": secret, "expires": expires.isoformat()})
    leased = CredentialLeased(
        connector_id=request.connector_id,
        run_id=request.run_id,
        step=request.step,
        report_id=request.report_id,
        report_version=request.report_version,
        purpose=f"run {request.run_id}, step {request.step}, attempt {request.attempt}",
    )
    await tx.emit("credential.leased", leased, entity=request.connector_id)
    return answer


async def note_refused_lease(tx: Transaction, request: LeaseRequest, refusal: Refusal) -> None:
    """Record that a lease was refused."""
    refused = CredentialRefused(
        connector_id=request.connector_id, run_id=request.run_id, step=request.step, reason=refusal.detail
    )
    await tx.emit("credential.refused", refused, entity=request.connector_id)


async def set_policy(tx: Transaction, revision: int, given: PublicationPolicy) -> None:
    """Change what the tenant asks of drafts before they are published; what is proposed already stays as it was asked.

    Raises:
        PreconditionFailed: the policy changed since it was read.
    """
    await policies.hold_policy(tx)
    row = await policies.find_policy(tx)
    require_revision(revision, row["revision"] if row else 0)
    await policies.keep_policy(tx, given, revision + 1, tx.context.actor)
    before = policies.as_policy(row) if row else None
    changed = PolicyChanged(revision=revision + 1, before=before, after=given)
    await tx.emit("policy.changed", changed, entity="publication-policy")


async def on_schedule_changed(tx: Transaction, event: Event) -> None:
    """Learn which schedules depend on a report."""
    data = ScheduleChanged.model_validate(event.data)
    gone = event.name.endswith(".deleted")
    await store.put_dependent(tx, data.report_id, data.schedule_id, data.name, gone=gone)
