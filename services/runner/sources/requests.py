"""What a child that reads a source is told."""

from datetime import date, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from libs.common.vocabulary.base import Strict
from libs.common.vocabulary.connections import PostgresConnector
from libs.common.vocabulary.schemas import SchemaSpec
from services.runner.engines.drafts import DraftRequest


class CsvRequest(Strict):
    """A CSV file, open as the job's first descriptor, to be sealed at `target`: all records, or the first `limit`.

    `name` is what people call it.
    """

    name: str
    delimiter: Literal[",", ";", "\t", "|"] = ","
    source_schema: SchemaSpec
    target: Path
    limit: int | None = None
    draft: DraftRequest | None = None
    memory: str = "128MiB"
    threads: int = 2


class QueryRequest(Strict):
    """A query on a PostgreSQL server to which the job's first descriptor is connected, to be sealed at `target`.

    All rows, or at most `limit` of them.
    """

    connector: PostgresConnector
    password: str = Field(repr=False)
    query: str
    source_schema: SchemaSpec
    business_date: date
    as_of: datetime
    target: Path
    limit: int | None = None
    draft: DraftRequest | None = None
