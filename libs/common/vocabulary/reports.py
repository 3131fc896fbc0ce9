from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from libs.common.misfits import MisfitError
from libs.common.vocabulary.base import Name, Strict
from libs.common.vocabulary.transforms import AnyTransform

FilePattern = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^/\\\x00-\x1f]+$")]


class QuerySource(Strict):
    """Rows of a SELECT on a database connector. `:business_date` and `:as_of` in it are bind parameters."""

    kind: Literal["query"] = "query"
    connector_id: UUID
    query: str = Field(min_length=1, max_length=20_000)


class FileSource(Strict):
    """A CSV file of a file connector. `{business_date}` in the name stands for the run's date."""

    kind: Literal["file"] = "file"
    connector_id: UUID
    file: FilePattern
    delimiter: Literal[",", ";", "\t", "|"] = ","


Source = Annotated[QuerySource | FileSource, Field(discriminator="kind")]


class CsvOutput(Strict):
    r"""Comma-separated values, UTF-8, header line, RFC 4180 quoting, `\n` line ends."""

    format: Literal["csv"] = "csv"
    name: FilePattern = "{report}-{business_date}.csv"
    delimiter: Literal[",", ";", "\t", "|"] = ","


class ParquetOutput(Strict):
    """Apache Parquet, zstd."""

    format: Literal["parquet"] = "parquet"
    name: FilePattern = "{report}-{business_date}.parquet"


class JsonOutput(Strict):
    """A JSON array of objects (`json`) or one object a line (`ndjson`)."""

    format: Literal["json", "ndjson"]
    name: FilePattern = "{report}-{business_date}.json"


class XmlOutput(Strict):
    """An XML document checked against an XSD set.

    `document` is the whole document with one empty element `<r:records/>` where the records go, and `record` one
    record; the namespace `urn:regent:template` is `r`. `{field}` in text or attribute values is replaced by the value
    (target fields in `record`; `run_id` as 32 hex digits, `created`, `business_date`, `count` and `report` in `document`). An element
    with `r:when="expression"` is left out unless the expression over the target record is true; one whose text is
    just `{field}` is left out when the field is null.
    """

    format: Literal["xml"] = "xml"
    name: FilePattern = "{report}-{business_date}.xml"
    xsd_set_id: UUID | None = None
    document: str = Field(min_length=1, max_length=200_000)
    record: str = Field(min_length=1, max_length=200_000)


Output = Annotated[CsvOutput | ParquetOutput | JsonOutput | XmlOutput, Field(discriminator="format")]


class ReportSpec(Strict):
    """What a run of the report does, from source to destination.

    `business_key` names the source fields that identify a record to people; keys may repeat. `mappings` gives aliases
    to the mappings that the transform looks things up in.
    """

    source: Source
    source_schema_id: UUID
    business_key: tuple[Name, ...] = Field(min_length=1, max_length=10)
    rules: tuple[UUID, ...] = Field(default=(), max_length=500)
    mappings: dict[Name, UUID] = Field(default_factory=dict, max_length=20)
    target_schema_id: UUID
    transform: AnyTransform
    outputs: tuple[Output, ...] = Field(min_length=1, max_length=10)
    destinations: tuple[UUID, ...] = Field(default=(), max_length=10)
    on_blocking: Literal["hold", "stop"] = "hold"

    @model_validator(mode="after")
    def _lists_name_things_once(self) -> Self:
        for name in ("rules", "destinations"):
            ids = getattr(self, name)
            for place, id_ in enumerate(ids):
                if id_ in ids[:place]:
                    raise MisfitError(f"{name} lists an id twice", name, place, expected="each id once")
        files = [output.name for output in self.outputs]
        for place, file in enumerate(files):
            if file in files[:place]:
                told = "two outputs have the same file name"
                raise MisfitError(told, "outputs", place, "name", expected="another name")
        return self
