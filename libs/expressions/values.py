"""What a compiled sub-expression is: its SQL and what is known about its value."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from libs.common.vocabulary.schemas import FieldType
from libs.expressions.quoting import quote_literal

ValueType = FieldType | Literal["null"]
Constant = str | int | Decimal | bool | date | datetime

SQL_TYPES: dict[str, str] = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "decimal": "DECIMAL(38,10)",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
}

NUMERIC = ("integer", "decimal")

_CHEAP = 3


@dataclass(frozen=True, slots=True)
class Value:
    """A typed piece of SQL.

    Numbers know their `scale` and a `bound`: no value's unscaled integer is larger in magnitude. `physical` is the
    DuckDB type where it is known. `weight` counts operations, to decide what may be written twice. `growth` is how
    many times longer than its inputs a text can get.
    """

    sql: str
    type: ValueType
    weight: int = 1
    scale: int = 0
    bound: int = 0
    physical: str = ""
    constant: Constant | None = None
    growth: int = 1


def boolean(sql: str, *parts: Value) -> Value:
    """Return a boolean computed from `parts`."""
    return Value(sql, "boolean", weight=1 + total_weight(parts))


def text(sql: str, *parts: Value) -> Value:
    """Return a text computed from `parts`."""
    return Value(sql, "text", weight=1 + total_weight(parts), growth=max((part.growth for part in parts), default=1))


def total_weight(parts: Sequence[Value]) -> int:
    """Return the number of operations in `parts` together."""
    return sum(part.weight for part in parts)


def null_of(kind: FieldType) -> Value:
    """Return the null of a type."""
    return Value(f"CAST(NULL AS {SQL_TYPES[kind]})", kind, scale=0)


def text_constant(value: str) -> Value:
    """Return a text literal."""
    return Value(quote_literal(value), "text", constant=value)


def date_constant(value: date) -> Value:
    """Return a date literal."""
    return Value(f"DATE '{value.isoformat()}'", "date", constant=value)


def timestamp_constant(value: datetime) -> Value:
    """Return a timestamp literal; `value` is aware."""
    return Value(f"TIMESTAMPTZ '{value.isoformat(sep=' ')}'", "timestamp", constant=value)


def shared(value: Value, body: Callable[[Value], Value]) -> Value:
    """Build `body`, which may write its argument several times, so that `value` is computed once.

    The engine shares no work between the branches of a CASE, and writing a sub-expression twice at each level grows
    the SQL exponentially: everything but columns and literals is bound to the parameter of a lambda.
    """
    if value.weight <= _CHEAP:
        return body(value)
    name = "v" + hashlib.sha256(value.sql.encode()).hexdigest()[:12]
    parameter = Value(name, value.type, 1, value.scale, value.bound, value.physical, None, value.growth)
    result = body(parameter)
    sql = f"list_transform([{value.sql}], lambda {name}: {result.sql})[1]"
    return Value(
        sql, result.type, result.weight + value.weight, result.scale, result.bound, result.physical, None, result.growth
    )


def shared_all(values: Sequence[Value], body: Callable[[Sequence[Value]], Value]) -> Value:
    """Do as `shared` for several values."""
    if not values:
        return body(())
    return shared(values[0], lambda first: shared_all(values[1:], lambda rest: body((first, *rest))))
