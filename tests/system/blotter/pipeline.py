"""The main job's parts in one process, one after the other: validate, transform, render. No services."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from uuid import UUID, uuid5

import pyarrow as pa
import pyarrow.parquet as pq

from examples.broker_week.definitions import Definitions, Ids, database_source, definitions
from examples.broker_week.rules import RULES
from libs.common.jail import JobServer
from libs.common.vocabulary.reports import ReportSpec
from libs.common.vocabulary.xsd import XsdSetSpec
from libs.expressions import MappingTable, Moment, mapping_rows
from services.runner.artifacts.render import render
from services.runner.artifacts.requests import Artifact, RenderRequest
from services.runner.engines.requests import MappingFile, Transformed, TransformRequest
from services.runner.engines.transform import run_transform
from services.validator.jail.broker import Outcome, Request, validate
from services.validator.plan import ResolvedRule, Subject, build_plan
from tests.system.blotter.blotter import Blotter

_SPACE = UUID(int=0)


def identifier(name: str) -> UUID:
    """Return the id that a definition of that name has in these tests."""
    return uuid5(_SPACE, name)


@dataclass(frozen=True, slots=True)
class Job:
    """One report over one blotter on one day; `folder` receives all files."""

    blotter: Blotter
    folder: Path
    business_date: date
    as_of: datetime
    made: Definitions
    report: ReportSpec

    @classmethod
    def of(cls, blotter: Blotter, folder: Path, business_date: date, as_of: datetime) -> "Job":
        """Prepare the job with the example's definitions over the blotter's master data."""
        made = definitions(blotter.instruments, blotter.counterparties, blotter.clients, blotter.firm_lei)
        report = made.report(database_source(identifier("connector")), cls.ids(made))
        return cls(blotter, folder, business_date, as_of, made, report)

    @staticmethod
    def ids(made: Definitions) -> Ids:
        """Return ids derived from names."""
        return Ids(
            source_schema=identifier("source"),
            target_schema=identifier("target"),
            mappings={alias: identifier(alias) for alias in made.mappings},
            rules=tuple(identifier(name) for name in RULES),
            xsd_set=identifier("xsd"),
        )

    @property
    def column_types(self) -> dict[str, str]:
        """The extract's columns: all text, as the booking system gives them."""
        return dict.fromkeys((field.name for field in self.made.source_schema.fields), "VARCHAR")

    def extract(self) -> None:
        """Seal the trades in source order; what is empty is null."""
        texts = {
            name: pa.array([row[name] or None for row in self.blotter.trades], pa.string())
            for name in self.column_types
        }
        ordinals = pa.array(range(1, len(self.blotter.trades) + 1), pa.int64())
        pq.write_table(pa.table({"_ordinal": ordinals, **texts}), self.folder / "extract.parquet", compression="zstd")

    async def validate(self, server: JobServer) -> Outcome:
        """Judge the extract in the jail."""
        rules = self.made.rules(self.ids(self.made))
        resolved = [ResolvedRule(id=str(identifier(name)), version=1, spec=rule) for name, rule in rules.items()]
        tables = {
            identifier(alias): MappingTable(f"map_{alias}", mapping.columns)
            for alias, mapping in self.made.mappings.items()
        }
        subject = Subject(
            source=self.made.source_schema,
            column_types=self.column_types,
            business_key=self.report.business_key,
        )
        plan = build_plan(subject, resolved, tables, Moment(self.business_date, self.as_of))
        mappings = {
            f"map_{alias}": mapping_rows(spec, self.business_date) for alias, spec in self.made.mappings.items()
        }
        request = Request(plan, self.folder / "extract.parquet", self.folder, mappings)
        return await validate(server, request)

    def failing_rules(self) -> dict[int, frozenset[str]]:
        """Return the blocking rules that failed, by ordinal, under the names that the definitions give them."""
        names = {str(identifier(name)): name for name in RULES}
        found: dict[int, set[str]] = defaultdict(set)
        for row in pq.read_table(self.folder / "failures.parquet").to_pylist():
            if row["severity"] == "blocking":
                found[row["_ordinal"]].add(names.get(row["rule_id"], row["rule_id"]))
        return {ordinal: frozenset(rules) for ordinal, rules in found.items()}

    def transform(self) -> Transformed:
        """Transform what is not held."""
        files = {}
        for alias in self.report.mappings:
            path = self.folder / f"mapping-{alias}.parquet"
            pq.write_table(mapping_rows(self.made.mappings[alias], self.business_date), path)
            files[alias] = MappingFile(path=path, columns=self.made.mappings[alias].columns)
        request = TransformRequest(
            extract=self.folder / "extract.parquet",
            column_types=self.column_types,
            source_schema=self.made.source_schema,
            target_schema=self.made.target_schema,
            business_key=self.report.business_key,
            transform=self.report.transform,
            mappings=files,
            failures=(self.folder / "failures.parquet",),
            business_date=self.business_date,
            as_of=self.as_of,
            output=self.folder / "transformed.parquet",
            dispositions=self.folder / "dispositions.parquet",
            faults=self.folder / "faults.parquet",
        )
        return run_transform(request)

    def render(self, xsd_set: XsdSetSpec) -> dict[str, Artifact]:
        """Render every output; `report.<format>` in the folder."""
        return {
            output.format: render(self._render_request(position, xsd_set))
            for position, output in enumerate(self.report.outputs)
        }

    def _render_request(self, position: int, xsd_set: XsdSetSpec) -> RenderRequest:
        output = self.report.outputs[position]
        return RenderRequest(
            transformed=self.folder / "transformed.parquet",
            target_schema=self.made.target_schema,
            output=output,
            xsd_set=xsd_set if output.format == "xml" else None,
            target=self.folder / f"report.{output.format}",
            report="transaction-report",
            run_id=identifier("run").hex,
            business_date=self.business_date,
            as_of=self.as_of,
            created=self.as_of,
        )
