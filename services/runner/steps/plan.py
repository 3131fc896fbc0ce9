"""What a run's pinned versions say."""

from collections.abc import Sequence
from datetime import date
from typing import Any, TypeVar
from uuid import UUID

from pydantic import TypeAdapter

from libs.common.definitions.copies import Pinned
from libs.common.events.runner import VersionReference
from libs.common.vocabulary.reports import ReportSpec
from libs.common.vocabulary.schemas import SchemaSpec
from services.runner.library import REPORT, RULE, SCHEMA, Library

M = TypeVar("M")


class Plan:
    """A run's report and, by kind and id, everything else that it pinned."""

    def __init__(self, library: Library, pins: Sequence[dict[str, Any]], report: ReportSpec) -> None:
        self._library = library
        self._pins = {(pin["kind"], UUID(pin["id"])): Pinned.from_json(pin) for pin in pins}
        self.report = report

    @classmethod
    async def load(cls, library: Library, pins: Sequence[dict[str, Any]]) -> "Plan":
        """Read the report of a run's pins; the first one is the report's."""
        return cls(library, pins, await library.read(Pinned.from_json(pins[0]), REPORT))

    async def spec(self, kind: str, id: UUID, model: TypeAdapter[M]) -> M:  # noqa: A002
        """Return the pinned specification of a definition."""
        return await self._library.read(self._pins[kind, id], model)

    async def source_schema(self) -> SchemaSpec:
        """Return the schema of what is extracted."""
        return await self.spec("schema", self.report.source_schema_id, SCHEMA)

    async def target_schema(self) -> SchemaSpec:
        """Return the schema of what is reported."""
        return await self.spec("schema", self.report.target_schema_id, SCHEMA)

    def reference(self, kind: str, id: UUID) -> VersionReference:  # noqa: A002
        """Return the pinned version by reference, as events carry it."""
        return VersionReference(**self._pins[kind, id].as_json())

    async def has_output_rules(self, rules: Sequence[dict[str, Any]]) -> bool:
        """Say whether any rule of the run's set judges the output; the references are the validator's."""
        specs = [await self._library.read(Pinned.from_json(rule), RULE) for rule in rules]
        return any(spec.phase == "output" for spec in specs)


def dated(text: str, business_date: date) -> str:
    """Return a source's file name with the run's date in it."""
    return text.replace("{business_date}", business_date.isoformat())
