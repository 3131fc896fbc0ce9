"""The SQL of a transform: the source record, typed and corrected, and the target record's expressions over it."""

from collections.abc import Mapping
from dataclasses import dataclass

from libs.common.vocabulary.schemas import FieldType
from libs.expressions import (
    Compiled,
    ExpressionError,
    MappingTable,
    Moment,
    Scope,
    business_key,
    compile_expression,
    joins,
    quote_identifier,
    quote_literal,
    text_of,
    typed_columns,
)
from services.runner.engines.errors import TransformError
from services.runner.engines.requests import SourceRequest, TransformRequest


@dataclass(frozen=True, slots=True)
class Projection:
    """The compiled expressions of one transform."""

    fields: tuple[tuple[str, Compiled], ...]
    where: Compiled | None
    order: tuple[tuple[Compiled, bool], ...]

    @property
    def total(self) -> bool:
        """Whether no expression can fail on a row."""
        return all(part.total for part in self.parts)

    @property
    def parts(self) -> tuple[Compiled, ...]:
        """All compiled expressions."""
        where = (self.where,) if self.where else ()
        return (*(part for _, part in self.fields), *where, *(part for part, _ in self.order))


def compile_transform(request: TransformRequest) -> Projection:
    """Compile the request's expressions over its source schema.

    Raises:
        TransformError: `expression-refused` with the field and the position; `field-unmapped` or `field-unknown`
            when expressions and target schema do not match.
    """
    _require_same_fields(request)
    tables = {alias: MappingTable(mapping_table(alias), file.columns) for alias, file in request.mappings.items()}
    scope, moment = Scope(request.source_schema, tables), Moment(request.business_date, request.as_of)
    expressions = {mapping.field: mapping.expression for mapping in request.transform.fields}
    fields = tuple(
        (field.name, _compile(expressions[field.name], scope, moment, field.type, f"field {field.name}"))
        for field in request.target_schema.fields
        if field.name in expressions
    )
    where = request.transform.where
    order = request.transform.order_by
    return Projection(
        fields=fields,
        where=_compile(where, scope, moment, "boolean", "where") if where else None,
        order=tuple((_compile(key.expression, scope, moment, None, "order_by"), key.descending) for key in order),
    )


def mapping_table(alias: str) -> str:
    """Return the name of the table that holds the mapping of that alias."""
    return f"mapping_{alias}"


def source_records(request: SourceRequest, corrected: Mapping[str, str], restriction: str) -> str:
    """Return SQL of the source records `t`: ordinal, key, typed fields; `corrected` maps a field to its table."""
    joined = "".join(
        f" LEFT JOIN {quote_identifier(table)} ON {quote_identifier(table)}._ordinal = r._ordinal"
        for table in corrected.values()
    )
    raw = ", ".join(_raw(name, kind, corrected.get(name)) for name, kind in request.column_types.items())
    key = business_key(request.source_schema, request.business_key, request.column_types)
    typed = typed_columns(request.source_schema, {**request.column_types, **dict.fromkeys(corrected, "VARCHAR")})
    columns = ", ".join(f"{column.sql} AS {quote_identifier(column.name)}" for column in typed)
    return f"""
        SELECT r._ordinal, r._key, {columns} FROM (
          SELECT r._ordinal, {key} AS _key, {raw}
          FROM read_parquet({quote_literal(str(request.extract))}) AS r {joined} {restriction}
        ) AS r"""


def target_values(projection: Projection, records: str) -> str:
    """Return SQL of the target values `v` before they are fitted to the target schema: one row per source record."""
    values = [f"{_guarded(part)} AS {quote_identifier(name)}" for name, part in projection.fields]
    values += [
        f"{_failing(part)} AS {quote_identifier('!' + name)}" for name, part in projection.fields if not part.total
    ]
    where = _guarded(projection.where) if projection.where else "true"
    keys = [f"{_guarded(part)} AS {quote_identifier(f'#{n}')}" for n, (part, _) in enumerate(projection.order)]
    listed = ", ".join([*values, *keys])
    return f"SELECT t._ordinal, t._key, {where} AS _where, {listed} FROM ({records}) AS t {joins(projection.parts)}"


def order_clause(projection: Projection) -> str:
    """Return the ORDER BY over `target_values`: nulls last, ties in source order."""
    keys = [
        f"v.{quote_identifier(f'#{n}')} {'DESC' if descending else 'ASC'} NULLS LAST"
        for n, (_, descending) in enumerate(projection.order)
    ]
    return f"ORDER BY {', '.join([*keys, 'v._ordinal'])}"


def _require_same_fields(request: TransformRequest) -> None:
    mapped = [mapping.field for mapping in request.transform.fields]
    known = {field.name for field in request.target_schema.fields}
    unknown = sorted(set(mapped) - known)
    if unknown or len(set(mapped)) != len(mapped):
        raise TransformError(
            "field-unknown", f"The transform maps unknown or repeated fields: {', '.join(unknown or mapped)}."
        )
    missing = [f.name for f in request.target_schema.fields if f.required and f.name not in mapped]
    if missing:
        raise TransformError("field-unmapped", f"The transform gives no value for: {', '.join(missing)}.")


def _compile(text: str, scope: Scope, moment: Moment, expect: FieldType | None, place: str) -> Compiled:
    try:
        return compile_expression(text, scope, moment, expect)
    except ExpressionError as error:
        position = f"line {error.line}, column {error.column}"
        raise TransformError(
            "expression-refused", f"The expression of {place} ({position}): {error.message}"
        ) from error


def _raw(name: str, kind: str, table: str | None) -> str:
    column = f"r.{quote_identifier(name)}"
    if table is None:
        return f"{column} AS {quote_identifier(name)}"
    # as text, as it was judged: the column's own type may hold less than the field's
    text = text_of(column, kind)
    new, present = f"{quote_identifier(table)}.new_value", f"{quote_identifier(table)}._ordinal IS NOT NULL"
    return f"CASE WHEN {present} THEN {new} ELSE {text} END AS {quote_identifier(name)}"


def _guarded(part: Compiled) -> str:
    return part.sql if part.total else f"TRY({part.sql})"


def _failing(part: Compiled) -> str:
    return f"TRY(({part.sql}) IS NULL) IS NULL"
