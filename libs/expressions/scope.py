from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from libs.common.vocabulary.schemas import FieldType, SchemaSpec


@dataclass(frozen=True, slots=True)
class MappingTable:
    """A mapping as the engine sees it: the DuckDB table and its value columns beside `key`.

    The table holds only entries that are valid on the business date, so a key occurs at most once.
    """

    table: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may name: the record's fields and the mappings, by alias.

    `fields_are` says to people what the fields are of.
    """

    schema: SchemaSpec
    mappings: Mapping[str, MappingTable] = field(default_factory=dict)
    fields_are: str = "a field of the schema"


@dataclass(frozen=True, slots=True)
class Moment:
    """The run's date and instant (aware UTC), which `business_date` and `as_of` stand for."""

    business_date: date
    as_of: datetime

    def __post_init__(self) -> None:
        if self.as_of.utcoffset() is None:
            raise ValueError("as_of must carry a time zone")


@dataclass(frozen=True, slots=True)
class Lookup:
    """One LEFT JOIN that an expression needs: mapping table `table` as `alias`, its key equal to `key_sql`."""

    alias: str
    table: str
    key_sql: str


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expression as SQL over the typed view `t` and the joins of its lookups.

    `sql` cannot fail on any row when `total`. `fields` are the names it reads. `lookups` come in the order in which
    they must be joined.
    """

    sql: str
    type: FieldType
    fields: frozenset[str]
    lookups: tuple[Lookup, ...]
    total: bool
