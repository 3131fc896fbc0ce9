"""A validation with what people decided: amendments laid over the data first, accepted failures marked afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from libs.common.events.runner import ValidationRequested
from libs.common.jail import MIB, JobServer
from libs.common.vocabulary.schemas import SchemaSpec
from services.validator.columns import column_type
from services.validator.exceptions import applying
from services.validator.exceptions.applying import InForce, Overlaid
from services.validator.jail.amender import Amending, amend
from services.validator.jail.broker import Outcome, Request, validate
from services.validator.overlay import overlay_of


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges one dataset, in a private directory, with the decisions that are in force."""

    server: JobServer
    known: InForce
    scratch: Path
    memory_mib: int
    wall_seconds: float
    owner: str | None = None

    async def amended(
        self, request: ValidationRequested, schema: SchemaSpec, data: Path, columns: Mapping[str, str]
    ) -> tuple[Path, dict[str, str], Overlaid]:
        """Lay the amendments over the data, whose columns are known; return what is to be judged, and what came of them.

        The fields that amendments change are text in it, as a file would hold them.
        """
        names = {field.name for field in schema.fields}
        fields = [name for name in self.known.fields() if name in names]
        if not fields:
            return data, dict(columns), Overlaid()
        types = {name: column_type(kind) for name, kind in columns.items()}
        asked = Amending(
            overlay=overlay_of(schema, types, request.business_key, fields),
            rows=[row for row in self.known.rows() if row["field"] in names],
            data=data,
            scratch=self.scratch,
            memory=self.memory_mib * MIB,
            wall_seconds=self.wall_seconds,
            owner=self.owner,
        )
        rows = await amend(self.server, asked)
        if not rows:
            return data, dict(columns), Overlaid()
        return asked.amended, {**columns, **dict.fromkeys(fields, "string")}, Overlaid.of(rows)

    async def verdict(self, asked: Request, overlaid: Overlaid) -> Outcome:
        """Judge; records that contradict an amendment are held, accepted failures hold nothing."""
        checks = tuple(applying.conflicts(overlaid, self.known))
        plan = asked.plan.model_copy(update={"set_checks": (*asked.plan.set_checks, *checks)})
        outcome = await validate(self.server, replace(asked, plan=plan))
        outcome = applying.waive_failures(outcome, self.scratch / "failures.parquet", self.known)
        amended = applying.add_corrections(overlaid, self.scratch / "corrections.parquet", self.known)
        return outcome.model_copy(update={"corrections": outcome.corrections + amended})
