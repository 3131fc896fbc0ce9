"""What a renderer is told, and what it answers."""

from datetime import date, datetime
from pathlib import Path

from libs.common.vocabulary.base import Strict
from libs.common.vocabulary.reports import CsvOutput, JsonOutput, ParquetOutput, XmlOutput
from libs.common.vocabulary.schemas import SchemaSpec
from libs.common.vocabulary.xsd import XsdSetSpec
from services.runner.engines.sealing import SealedFile


class RenderRequest(Strict):
    """One artifact: the transformed records minus those with a blocking failure in `failures`, written to `target`.

    `xsd_set` belongs to an XML output with an `xsd_set_id`. The last five fields are what a document template may name.
    """

    transformed: Path
    target_schema: SchemaSpec
    failures: tuple[Path, ...] = ()
    output: CsvOutput | ParquetOutput | JsonOutput | XmlOutput
    xsd_set: XsdSetSpec | None = None
    target: Path
    report: str
    run_id: str
    business_date: date
    as_of: datetime
    created: datetime
    memory: str = "128MiB"


class Artifact(SealedFile):
    """A rendered artifact; `rows` is its number of records."""
