"""A dataset and what it is judged by: the same for a run and for a try."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from libs.common.jail import MIB
from libs.common.vocabulary.mappings import MappingSpec
from libs.common.vocabulary.rules import Phase
from libs.common.vocabulary.schemas import SchemaSpec
from libs.expressions import ExpressionError, MappingTable, Moment, mapping_rows
from libs.expressions.sql import SqlError
from services.validator.jail.broker import Request
from services.validator.plan import ResolvedRule, Subject, build_plan


class RuleUnfitError(Exception):
    """A rule was made for another shape of data."""


@dataclass(frozen=True, slots=True)
class Case:
    """What judges: the schema of the data, the rules, the mappings that they look things up in, the run's moment."""

    schema: SchemaSpec
    rules: Sequence[ResolvedRule]
    mappings: Mapping[UUID, MappingSpec]
    business_key: tuple[str, ...]
    phase: Phase
    moment: Moment

    def request(
        self,
        data: Path,
        scratch: Path,
        columns: Mapping[str, str],
        *,
        memory_mib: int,
        threads: int,
        wall_seconds: float,
        spill_mib: int = 10_240,
        previous: Path | None = None,
        previous_columns: Mapping[str, str] | None = None,
    ) -> Request:
        """Return the validation of a Parquet file; `scratch` is a directory of its own, `previous` the extract before.

        `columns` are the file's DuckDB types by name, `previous_columns` the previous one's: no file is opened here.

        Raises:
            RuleUnfitError: a rule does not compile against this schema.
        """
        tables = {id_: MappingTable(_table(id_), mapping.columns) for id_, mapping in self.mappings.items()}
        subject = Subject(
            source=self.schema,
            column_types=dict(columns),
            business_key=self.business_key,
            phase=self.phase,
            previous_types=dict(previous_columns) if previous_columns is not None else None,
        )
        try:
            plan = build_plan(subject, self.rules, tables, self.moment)
        except (ExpressionError, SqlError, KeyError) as error:
            raise RuleUnfitError(str(error)) from error
        contents = {
            _table(id_): mapping_rows(mapping, self.moment.business_date) for id_, mapping in self.mappings.items()
        }
        return Request(
            plan=plan,
            data=data,
            scratch=scratch,
            mappings=contents,
            memory=memory_mib * MIB,
            threads=threads,
            wall_seconds=wall_seconds,
            previous=previous,
            spill_bytes=spill_mib * MIB,
        )


def _table(mapping: UUID) -> str:
    return f"mapping_{mapping.hex}"
