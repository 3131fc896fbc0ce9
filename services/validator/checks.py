"""What a plan is made of: data, made outside the jail, carried out inside it."""

from collections.abc import Collection
from datetime import date, datetime
from typing import Literal

from pydantic import Field

from libs.common.vocabulary.base import Strict
from libs.common.vocabulary.rules import Phase, RuleSpec
from libs.common.vocabulary.schemas import SchemaSpec
from libs.expressions import Compiled, business_key, without_nul

Severity = Literal["blocking", "warning", "correctable"]


class Join(Strict):
    """One lookup: mapping table `table` as `alias`, its key equal to `key_sql`."""

    alias: str
    table: str
    key_sql: str


class Condition(Strict):
    """A check on one record. `holds` is SQL over the typed view `t` of what must be true for it to pass.

    Where its `outcome` is known before, that is SQL of its code.
    `message` is SQL over the failing record's texts `h`. `recheck` marks the second look at a corrected record, which
    is not counted by itself.
    """

    rule_id: str
    rule_version: int
    severity: Severity
    holds: str
    outcome: str | None = None
    joins: tuple[Join, ...] = ()
    total: bool = True
    unknown_fails: bool = False
    fields: tuple[str, ...]
    message: str
    recheck: bool = False

    @property
    def code(self) -> str:
        """SQL of what came of it, as UTINYINT: 0 pass, 1 fail, 2 unknown, 3 error."""
        return self.outcome or code_of(self.holds)


class Correction(Strict):
    """A correctable rule's fix: where its condition fails, `field` becomes `value` (SQL over `t`).

    `old` and `new` are SQL of the texts before and after, over the layer's columns; `old` only where one of the
    corrections `after` which this one comes changed the field, else it is the source's text. Where the field is `keyed`, records
    are compared by it, also by the text of a value that is not of its type.
    """

    rule_id: str
    rule_version: int
    field: str
    code: str
    value: str
    new: str
    old: str
    after: tuple[int, ...] = ()
    joins: tuple[Join, ...] = ()
    unknown_fails: bool = False
    keyed: bool = False

    @property
    def failing(self) -> str:
        """SQL of the list of codes that the fix answers."""
        return "(1, 2)" if self.unknown_fails else "(1)"


class SetCheck(Strict):
    """A check on the whole dataset. `find` is SQL that gives `_ordinal` of each failing record in the view `typed`.

    Where it is `coded`, it gives the `?code` too: 1 fail, 2 unknown.
    """

    rule_id: str
    rule_version: int
    severity: Severity
    find: str
    fields: tuple[str, ...]
    message: str
    coded: bool = False
    unknown_fails: bool = False


class Question(Strict):
    """A tenant's own query, guarded: `sql` gives `_ordinal` of each failing record of the table `records`.

    `aliases` gives the mapping tables their names in it. It is asked on an engine of its own.
    """

    rule_id: str
    rule_version: int
    severity: Severity
    sql: str
    aliases: dict[str, str]
    fields: tuple[str, ...]
    message: str


class Plan(Strict):
    """All checks of one phase. `columns` is the typed view's select list over the extract `r`, `texts` each field's text.

    `key` is SQL of a record's key over `r`, made of `key_columns`. `stored` gives, by column, what some of the select list
    becomes where all that is stored in the column is sound.
    """

    columns: tuple[str, ...]
    stored: dict[str, dict[str, str]] = Field(default_factory=dict)
    key: str
    key_columns: tuple[str, ...] = ()
    texts: dict[str, str]
    conditions: tuple[Condition, ...]
    corrections: tuple[Correction, ...] = ()
    set_checks: tuple[SetCheck, ...] = ()
    questions: tuple[Question, ...] = ()
    previous_columns: tuple[str, ...] = ()
    business_date: date
    as_of: datetime

    def where_sound(self, names: Collection[str]) -> "Plan":
        """Return the plan for data of which these columns are sound: they are read as they are stored."""
        simpler = {item: simple for name in names for item, simple in self.stored[name].items()}
        return self.model_copy(update={"columns": tuple(simpler.get(item, item) for item in self.columns)})


class ResolvedRule(Strict):
    """A rule version that a run uses."""

    id: str
    version: int
    spec: RuleSpec


class Subject(Strict):
    """What is judged: the schema, how the data's columns are stored, and how a record is called.

    `previous_types` are the previous extract's columns, where there is one.
    """

    source: SchemaSpec
    column_types: dict[str, str]
    business_key: tuple[str, ...] = ()
    phase: Phase = "input"
    previous_types: dict[str, str] | None = None

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns that the business key is made of."""
        return ("_key",) if self.phase == "output" else self.business_key

    def key_sql(self) -> str:
        """Return SQL of the record's business key over `r`; transformed output carries it as `_key`.

        Where there is none, records are called by their place.
        """
        if self.phase == "output":
            return without_nul('"r"."_key"')
        if not self.business_key:
            return 'CAST("r"."_ordinal" AS VARCHAR)'
        return business_key(self.source, self.business_key, self.column_types)


def code_of(condition: str) -> str:
    """Return SQL that gives a three-valued condition's code: 0 true, 1 false, 2 neither."""
    return f"coalesce(CAST(NOT ({condition}) AS UTINYINT), 2::UTINYINT)"


def joins_of(compiled: Compiled) -> tuple[Join, ...]:
    """Return the lookups of an expression as data."""
    return tuple(Join(alias=one.alias, table=one.table, key_sql=one.key_sql) for one in compiled.lookups)
