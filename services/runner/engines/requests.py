"""What the transform is told, and what it answers."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from libs.common.vocabulary.base import Name, Strict
from libs.common.vocabulary.schemas import SchemaSpec
from libs.common.vocabulary.transforms import Transform
from services.runner.engines.sealing import SealedFile


class MappingFile(Strict):
    """A mapping's entries that are valid on the business date: Parquet with `key` and the columns named here."""

    path: Path
    columns: tuple[Name, ...] = ()


class SourceRequest(Strict):
    """The records of an extract that go on: what they are read from, and where the result goes.

    `column_types` are the extract's. `failures` are Parquet files of failures; records with a blocking one are held.
    Work happens beside `output`.
    """

    extract: Path
    column_types: dict[str, str]
    source_schema: SchemaSpec
    business_key: tuple[Name, ...]
    failures: tuple[Path, ...] = ()
    corrections: Path | None = None
    output: Path
    memory: str = "128MiB"
    threads: int = 2


class TransformRequest(SourceRequest):
    """One transform: sealed inputs, definitions, the moment, and where the results go.

    `output`, `dispositions` and `faults` are the paths to write.
    """

    target_schema: SchemaSpec
    transform: Transform
    mappings: dict[Name, MappingFile] = Field(default_factory=dict)
    business_date: date
    as_of: datetime
    dispositions: Path
    faults: Path


class Readied(Strict):
    """The typed, corrected records that go on, and how many are held back."""

    output: SealedFile
    held: int


class FoldRequest(Strict):
    """What a report's own code made of the readied records, to be checked against them record by record.

    `rows`, `trace` and `drops` are what the validator sealed; `trace` is there unless rows are one to one. `failures`
    are those of the input phase. `output`, `origins` and `dropped` are the paths to write; work happens beside `output`.
    """

    records: Path
    rows_in: int
    rows: Path
    trace: Path | None = None
    drops: Path | None = None
    failures: tuple[Path, ...] = ()
    target_schema: SchemaSpec
    output: Path
    origins: Path
    dropped: Path
    memory: str = "128MiB"
    threads: int = 2


class Folded(Strict):
    """Rows that balance: every record is held, dropped, or behind a row.

    `output` holds the rows with `_ordinal` and `_key`; `origins` (`key`, `_ordinal`, `_row`, `_first`, by key) says
    which records stand behind them, where that is not one to one; `dropped` (`key`, `_ordinal`, `reason`, by key) which
    were left out. `used` records stand behind rows.
    """

    output: SealedFile
    origins: SealedFile | None
    dropped: SealedFile
    used: int


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
    """What one of two runs made: its transformed records, and the failures of its rules and of its target schema.

    `origins` names the records behind each row where rows are not records.
    """

    records: Path
    origins: Path | None = None
    input: Path | None = None
    faults: Path | None = None
    output: Path | None = None

    @property
    def files(self) -> list[Path]:
        """The files of records and failures that exist."""
        return [self.records, *(path for path in (self.input, self.faults, self.output) if path is not None)]

    @property
    def reads(self) -> list[Path]:
        """All files that are read."""
        return [*self.files, self.origins] if self.origins else self.files


class CompareRequest(Strict):
    """Two runs over the same extract, and where what differs is to be written.

    `by_key`: a row stands for several records, and is the same one in both runs if it has the same key.
    """

    before: Side
    after: Side
    target: Path
    by_key: bool = False
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
