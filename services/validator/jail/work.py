"""The state of one validation on its way, and its engine."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from libs.expressions import quote_identifier, quote_literal
from services.validator.checks import Plan, Question, SetCheck
from services.validator.jail.engine import Resources, open_engine
from services.validator.queries import Group

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Files:
    """The paths of a job's descriptors, in the order in which the broker sends them."""

    data: str
    mappings: tuple[str, ...]
    previous: str | None
    failures: str
    corrections: str
    spill: str

    @classmethod
    def of(cls, descriptors: Sequence[int], mappings: int) -> "Files":
        """Name the descriptors: data, so many mappings, the previous extract if there is one, then the writable ones."""
        paths = [f"/proc/self/fd/{descriptor}" for descriptor in descriptors]
        rest = paths[1 + mappings : -3]
        return cls(paths[0], tuple(paths[1 : 1 + mappings]), rest[0] if rest else None, *paths[-3:])

    def readable(self) -> list[str]:
        """Return those that are input only."""
        return [self.data, *self.mappings, *([self.previous] if self.previous else [])]

    def all(self) -> list[str]:
        """Return those that the engine may open as files."""
        return [*self.readable(), self.failures, self.corrections]


@dataclass(slots=True)
class Tally:
    """What came of one rule."""

    rule_id: str
    rule_version: int
    severity: str
    failed: int = 0
    unknown: int = 0
    errors: int = 0
    problem: str = ""

    def to_dict(self, rows: int) -> dict[str, Any]:
        """Return it with the records that passed: the rest."""
        passed = rows - self.failed - self.unknown - self.errors
        return {name: getattr(self, name) for name in self.__slots__} | {"passed": passed}


@dataclass(slots=True)
class Judgement:
    """The state of one validation on its way."""

    plan: Plan
    files: Files
    mappings: Sequence[str]
    resources: Resources
    rows: int
    engine: duckdb.DuckDBPyConnection = field(init=False)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    broken: set[int] = field(default_factory=set)
    groups: list[Group] = field(default_factory=list)
    sets: list[tuple[SetCheck | Question, str]] = field(default_factory=list)
    tallies: dict[str, Tally] = field(default_factory=dict)
    carries: bool = False
    failing: list[tuple[Group, int]] = field(default_factory=list)


def open_data(work: Judgement, *, careful: bool = False) -> duckdb.DuckDBPyConnection:
    """Return a locked engine with the data and the mapping tables; `careful` as in `open_engine`."""
    sums = bool(work.plan.set_checks)
    engine = open_engine(work.resources, work.files.all(), work.files.spill, careful=careful, sums=sums)
    engine.execute(f"CREATE TEMP VIEW extract AS SELECT * FROM read_parquet({quote_literal(work.files.data)})")
    for table, path in zip(work.mappings, work.files.mappings, strict=True):
        source = f"SELECT * FROM read_parquet({quote_literal(path)})"
        engine.execute(f"CREATE TEMP TABLE {quote_identifier(table)} AS {source}")
    return engine


def one(work: Judgement, query: str) -> Row:
    """Return the one row of a query on the validation's own engine; nothing stays unfetched."""
    rows: list[Row] = work.engine.execute(query).fetchall()
    return rows[0] if rows else ()


def reason(error: Exception) -> str:
    """Return the first line of what the engine says."""
    return str(error).partition("\n")[0][:500]
