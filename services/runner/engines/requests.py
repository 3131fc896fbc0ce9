"""What the transform is told, and what it answers."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from libs.common.vocabulary.base import Name, Strict
from libs.common.vocabulary.reports import Transform
from libs.common.vocabulary.schemas import SchemaSpec
from services.runner.engines.sealing import SealedFile


class MappingFile(Strict):
    """A mapping's entries that are valid on the business date: Parquet with `key` and the columns named here."""

    path: Path
    columns: tuple[Name, ...] = ()


class TransformRequest(Strict):
    """One transform: sealed inputs, definitions, the moment, and where the results go.

    `column_types` are the extract's. `failures` are Parquet files of failures; records with a blocking one are held.
    `output`, `dispositions` and `faults` are the paths to write; work happens beside `output`.
    """

    extract: Path
    column_types: dict[str, str]
    source_schema: SchemaSpec
    target_schema: SchemaSpec
    business_key: tuple[Name, ...]
    transform: Transform
    mappings: dict[Name, MappingFile] = Field(default_factory=dict)
    failures: tuple[Path, ...] = ()
    corrections: Path | None = None
    business_date: date
    as_of: datetime
    output: Path
    dispositions: Path
    faults: Path
    memory: str = "128MiB"
    threads: int = 2


class Transformed(Strict):
    """A transform that balances: `rows_in` = output.rows + held + filtered + unfit.

    `unfit` records have no value that the target schema takes; `faults` holds their failures (rule ids
    `target:<field>:required`, `:type`, `:length`), and they are held too. `dispositions` holds every record that is
    not out: `_ordinal`, `key`, `disposition` ('held' or 'filtered'), `rule_id`.
    """

    output: SealedFile
    dispositions: SealedFile
    faults: SealedFile
    rows_in: int
    held: int
    filtered: int
    unfit: int


class Side(Strict):
    """What one of two runs made: its transformed records, and the failures of its rules and of its target schema."""

    records: Path
    input: Path | None = None
    faults: Path | None = None
    output: Path | None = None

    @property
    def files(self) -> list[Path]:
        """The files that exist."""
        return [self.records, *(path for path in (self.input, self.faults, self.output) if path is not None)]


class CompareRequest(Strict):
    """Two runs over the same extract, and where what differs is to be written."""

    before: Side
    after: Side
    target: Path
    memory: str = "128MiB"
    threads: int = 2


class Compared(Strict):
    """What differs, sorted by difference and key; counts by difference, of failures by rule, of changed values by field.

    `records` are those that came out before or come out now; `samples` the first rows of each difference.
    """

    file: SealedFile
    records: int
    counts: dict[str, int]
    by_rule: dict[str, dict[str, int]]
    by_field: dict[str, int]
    samples: list[dict[str, Any]]
