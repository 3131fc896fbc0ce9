"""The query that gives each record's XML as one line of text."""

from dataclasses import dataclass, field

from libs.common.vocabulary.schemas import SchemaSpec
from libs.expressions import (
    Compiled,
    ExpressionError,
    Moment,
    Scope,
    compile_expression,
    joins,
    quote_identifier,
    quote_literal,
)
from services.runner.artifacts.formats import plain_text
from services.runner.artifacts.record_template import Element, compile_record, holes, record_sql, text_column
from services.runner.artifacts.records import RECORDS
from services.runner.artifacts.requests import RenderRequest
from services.runner.artifacts.template import Namespaces, parse_record
from services.runner.engines.errors import RenderError

_SPECIAL = r'[\x00-\x1F&<>"]'
_ESCAPES = (
    ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"),
    ("\n", "&#10;"), ("\r", "&#13;"), ("\t", "&#9;"),
)  # fmt: skip


@dataclass(slots=True)
class _Conditions:
    """The `r:when` conditions met so far; each becomes a column of the inner projection."""

    scope: Scope
    moment: Moment
    compiled: list[Compiled] = field(default_factory=list)

    def add(self, text: str) -> str:
        """Compile one condition and return the SQL that refers to its column."""
        try:
            self.compiled.append(compile_expression(text, self.scope, self.moment, "boolean"))
        except ExpressionError as error:
            raise RenderError(
                "template-refused", f"r:when={text!r} (column {error.column}): {error.message}"
            ) from error
        return f"p.{quote_identifier(f'?{len(self.compiled) - 1}')}"


def xml_query(request: RenderRequest, record: str, namespaces: Namespaces) -> str:
    """Return the query of `_ordinal`, `_key` and `xml`, one record a row, each `xml` one line with its line end.

    Escaping costs as little as looking: one pattern over all texts of a record decides which of two concatenations
    builds it. Line ends inside values become character references, so a line is a record.

    Raises:
        RenderError: `template-refused`.
    """
    conditions = _Conditions(Scope(request.target_schema), Moment(request.business_date, request.as_of))
    names = {f.name for f in request.target_schema.fields}
    element = compile_record(parse_record(record, namespaces), names, conditions.add)
    texts = _text_fields(request.target_schema, holes(element))
    plain = record_sql(element, text_column)
    body = plain if not texts else f"CASE WHEN p._special THEN {_escaping(element, set(texts))} ELSE {plain} END"
    return f"SELECT p._ordinal, p._key, concat({body}, '\n') AS xml FROM ({_inner(request, element, conditions)}) AS p"


def _text_fields(schema: SchemaSpec, used: set[str]) -> list[str]:
    return [f.name for f in schema.fields if f.type == "text" and f.name in used]


def _inner(request: RenderRequest, element: Element, conditions: _Conditions) -> str:
    used = holes(element)
    columns = [f"{plain_text(f)} AS {quote_identifier(f.name)}" for f in request.target_schema.fields if f.name in used]
    columns += [f"{_truth(c)} AS {quote_identifier(f'?{n}')}" for n, c in enumerate(conditions.compiled)]
    texts = ", ".join(f"t.{quote_identifier(name)}" for name in _text_fields(request.target_schema, used))
    if texts:
        columns.append(f"regexp_matches(concat({texts}), {quote_literal(_SPECIAL)}) AS _special")
    listed = ", ".join(columns)
    return f"SELECT t._ordinal, t._key, {listed} FROM {RECORDS} AS t {joins(conditions.compiled)}"


def _truth(condition: Compiled) -> str:
    return f"coalesce({condition.sql if condition.total else f'TRY({condition.sql})'}, false)"


def _escaping(element: Element, texts: set[str]) -> str:
    def escaped(name: str) -> str:
        sql = text_column(name)
        for found, written in _ESCAPES if name in texts else ():
            sql = f"replace({sql}, {quote_literal(found)}, {quote_literal(written)})"
        return sql

    return record_sql(element, escaped)
