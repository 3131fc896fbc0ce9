"""What the checks of a plan read of the data: typed fields, the texts that are shown, what makes records equal."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from libs.common.nearest import nearest_name
from libs.common.vocabulary.rules import RuleSpec
from libs.common.vocabulary.schemas import FieldType, SchemaField, SchemaSpec
from libs.expressions import (
    Compiled,
    ExpressionError,
    MappingTable,
    Moment,
    Patterns,
    Scope,
    TypedColumn,
    compile_expression,
    quote_identifier,
    stored_column,
    text_of,
    typed_columns,
    without_nul,
)
from libs.expressions.compiler import ANY_MOMENT
from services.validator.checks import Subject
from services.validator.messages import placeholders
from services.validator.tables import column_type_of


class Reading:
    """The data of one plan; remembers which fields are read, so that the typed view has these and no others.

    `patterns` is what the patterns of all texts may come to together; without it each text has all of it.
    """

    def __init__(
        self,
        subject: Subject,
        mappings: Mapping[UUID, MappingTable],
        moment: Moment,
        patterns: Patterns | None = None,
    ) -> None:
        self.subject = subject
        self.mappings = mappings
        self.moment = moment
        self.patterns = patterns
        self.fields = {field.name: field for field in subject.source.fields}
        self.typed = {column.name: column for column in typed_columns(subject.source, subject.column_types)}
        self._read: set[str] = set()
        self._keyed: set[str] = set()

    @classmethod
    def of(cls, scope: Scope, spec: RuleSpec, patterns: Patterns) -> "Reading":
        """Return a reading of no data, to look at what a rule says."""
        mappings = {spec.mappings[alias]: table for alias, table in scope.mappings.items()}
        types = dict.fromkeys((field.name for field in scope.schema.fields), "VARCHAR")
        return cls(Subject(source=scope.schema, column_types=types), mappings, ANY_MOMENT, patterns)

    def read(self, names: Iterable[str]) -> None:
        """Note that these fields are read."""
        self._read |= set(names)

    def field(self, name: str) -> SchemaField:
        """Return a field of the schema; ExpressionError where there is none."""
        if name not in self.fields:
            near = nearest_name(name, self.fields)
            raise ExpressionError(f"unknown field {name}", expected="a field of the schema", nearest=near)
        return self.fields[name]

    def compile(self, text: str, spec: RuleSpec, expect: FieldType | None = "boolean") -> Compiled:
        """Compile an expression of a rule and note what it reads."""
        tables = {alias: self.mappings[mapping] for alias, mapping in spec.mappings.items()}
        scope = Scope(schema=self.subject.source, mappings=tables)
        compiled = compile_expression(text, scope, self.moment, expect, self.patterns)
        self.read(compiled.fields)
        return compiled

    def keys(self, names: Sequence[str]) -> list[str]:
        """Return columns of the typed view that make records equal in these fields.

        They are the typed values, and beside them the text of a value that is not of its type.
        """
        columns: list[str] = []
        for name in names:
            self.field(name)
            self.read([name])
            columns.append(quote_identifier(name))
            if self._may_be_bad(name):
                self._keyed.add(name)
                columns.append(quote_identifier(f"?bad:{name}"))
        return columns

    def _may_be_bad(self, name: str) -> bool:
        """Say whether a value that is not of its type can stand in this extract or in the previous one."""
        types = self.subject.previous_types or {}
        before = typed_columns(SchemaSpec(fields=(self.fields[name],)), types) if name in types else []
        return any(column.conforms != "true" for column in (self.typed[name], *before))

    def keyed(self, name: str) -> bool:
        """Say whether records are compared by a field, of which the texts that are no values have a column then."""
        return name in self._keyed

    def shown(self, spec: RuleSpec, read: Sequence[str], template: str) -> tuple[str, ...]:
        """Return the fields whose texts are kept with a failure: the rule's own or those read, and the message's."""
        for name in spec.fields:
            self.field(name)
        chosen = spec.fields or read
        return tuple(dict.fromkeys([*chosen, *placeholders(template, list(self.fields))]))

    def columns(self, corrected: frozenset[str]) -> Iterable[str]:
        """Yield the select list of the typed view; the length of a corrected field is looked at afterwards."""
        yield '"r"."_ordinal"'
        for column in self.typed.values():
            yield from self._items(column, corrected)

    def stored(self, corrected: frozenset[str]) -> dict[str, dict[str, str]]:
        """Return what items of the select list become where all that is stored in a column is sound, by column."""
        simpler: dict[str, dict[str, str]] = {}
        for name, field in self.fields.items():
            column = stored_column(field, self.subject.column_types[name])
            if column is not None:
                usual, stored = self._items(self.typed[name], corrected), self._items(column, corrected)
                simpler[name] = {item: other for item, other in zip(usual, stored, strict=True) if item != other}
        return {name: items for name, items in simpler.items() if items}

    def previous(self) -> Iterable[str]:
        """Yield the select list of the previous extract's typed view; fields that it lacks are null."""
        types = self.subject.previous_types or {}
        yield '"r"."_ordinal"' if types else 'CAST(NULL AS BIGINT) AS "_ordinal"'
        for name in sorted(self._read):
            field = self.fields[name]
            quoted = quote_identifier(name)
            if name not in types:
                yield f"CAST(NULL AS {column_type_of(field)}) AS {quoted}"
                yield f'CAST(NULL AS VARCHAR) AS "?bad:{name}"'
                continue
            [column] = typed_columns(SchemaSpec(fields=(field,)), types)
            text = text_of(_raw(name), types[name])
            yield f"{column.sql} AS {quoted}"
            yield f'CASE WHEN NOT {column.conforms} THEN {text} END AS "?bad:{name}"'

    def texts(self) -> dict[str, str]:
        """Return SQL of each field's text."""
        return {name: source_text(name, self.subject.column_types[name]) for name in self.fields}

    def _items(self, column: TypedColumn, corrected: frozenset[str]) -> Iterable[str]:
        """Yield what the typed view has of one field, which is read as `column` says; the same items for each way."""
        name, usual = column.name, self.typed[column.name]
        if name in self._read:
            yield f"{column.sql} AS {quote_identifier(name)}"
        if usual.conforms != "true":
            yield f'{column.conforms} AS "?type:{name}"'
        if self.fields[name].required:
            yield f'{column.given} AS "?given:{name}"'
        if usual.fits != "true" and name not in corrected:
            yield f'{column.fits} AS "?length:{name}"'
        if name in self._keyed:
            text = text_of(_raw(name), self.subject.column_types[name])
            yield f'CASE WHEN NOT {column.conforms} THEN {text} END AS "?bad:{name}"'


def source_text(name: str, physical: str) -> str:
    """Return SQL over `r` of a field's text as the source has it, to be told; ISO 8601 for instants, a sign for a NUL."""
    text = text_of(_raw(name), physical)
    return without_nul(text) if physical.upper() == "VARCHAR" else text


def _raw(name: str) -> str:
    return f'"r".{quote_identifier(name)}'


def typed_text(value: str, field: SchemaField) -> str:
    """Return SQL of the text of a typed value."""
    return text_of(value, column_type_of(field))


def told_text(value: str, field: SchemaField) -> str:
    """Return SQL of the text of a typed value, to be told: with a sign for a NUL."""
    return without_nul(value) if field.type == "text" else typed_text(value, field)
