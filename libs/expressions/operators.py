"""Operators: which types they take and the SQL they become."""

import ast
from collections.abc import Callable, Sequence

from libs.expressions import numbers, products
from libs.expressions.errors import Refusal
from libs.expressions.values import NUMERIC, Value, ValueType, boolean, null_of, shared_all, text

ARITHMETIC: dict[type[ast.operator], tuple[str, Callable[[Value, Value], Value]]] = {
    ast.Add: ("+", lambda left, right: numbers.add(left, right, "+")),
    ast.Sub: ("-", lambda left, right: numbers.add(left, right, "-")),
    ast.Mult: ("*", products.multiply),
    ast.Div: ("/", products.divide),
    ast.FloorDiv: ("//", numbers.floor_divide),
    ast.Mod: ("%", numbers.modulo),
}

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "=",
    ast.NotEq: "<>",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}

_SHORT = 20
"""Of more texts the map takes longer than IN, which the engine makes a hash table."""

_HINTS = {
    frozenset({"date", "text"}): "write the day as date('2025-01-31')",
    frozenset({"date", "integer"}): "write the day as date('2025-01-31')",
    frozenset({"date", "decimal"}): "write the day as date('2025-01-31')",
    frozenset({"boolean", "integer"}): "write true or false",
    frozenset({"timestamp", "text"}): "write the instant as timestamp('2025-01-31T10:00:00Z')",
    frozenset({"timestamp", "date"}): "take the day of the timestamp with date(...)",
    frozenset({"integer", "text"}): "convert with to_integer(...) or to_text(...)",
    frozenset({"decimal", "text"}): "convert with to_decimal(...) or to_text(...)",
    frozenset({"boolean", "text"}): "write true or false without quotes",
}


def binary(operator: ast.operator, left: Value, right: Value) -> Value:
    """Compile an arithmetic operator, or `+` on two texts; KeyError for one that is not part of the language."""
    sign, build = ARITHMETIC[type(operator)]
    if sign == "+" and left.type == right.type == "text":
        return text(f"({left.sql} || {right.sql})", left, right)
    if left.type not in NUMERIC or right.type not in NUMERIC:
        raise Refusal(f"`{sign}` does not go with {left.type} and {right.type}", expected=_arithmetic_hint(left, right))
    return build(left, right)


def _arithmetic_hint(left: Value, right: Value) -> str:
    types = {left.type, right.type}
    if types & {"date", "timestamp"}:
        return "add_days, add_months, add_years or days_between for dates"
    if "null" in types:
        return "two numbers (calculating with null is always null)"
    return _HINTS.get(frozenset(types), "two numbers")


def compare(operator: ast.cmpop, left: Value, right: Value) -> Value:
    """Compile one comparison of two values of one type."""
    sign = _COMPARISONS.get(type(operator))
    if sign is None:
        raise Refusal("this comparison is not part of the language", expected="== != < <= > >=")
    if "null" in (left.type, right.type):
        raise Refusal("comparing with null is never true", expected="`is None` or `is not None`")
    return ordered(sign, left, right)


def ordered(sign: str, left: Value, right: Value) -> Value:
    """Compile a comparison by an SQL operator of two values of one type, neither of them a null literal."""
    first, second = same_type((left, right), "compare")
    if left.type in NUMERIC and numbers.may_not_align(left, right):
        return shared_all((left, right), lambda each: _beyond(sign, each[0], each[1]))
    if left.type in NUMERIC and numbers.may_not_align(right, left):
        return shared_all((right, left), lambda each: _beyond(_MIRRORED.get(sign, sign), each[0], each[1]))
    return boolean(f"({first} {sign} {second})", left, right)


def _beyond(sign: str, wide: Value, other: Value) -> Value:
    """Compare a number of fewer places: where 38 digits do not hold it with all of the other's, it is larger in magnitude."""
    first, second = numbers.aligned((wide, other))
    decided = {"=": "false", "<>": "true"}.get(sign, f"{wide.sql} {sign[0]} 0")
    known = f"{wide.sql} IS NOT NULL AND {other.sql} IS NOT NULL"
    return boolean(f"coalesce({first} {sign} {second}, CASE WHEN {known} THEN {decided} END)", wide, other)


def contained(left: Value, items: Sequence[Value], *, negated: bool) -> Value:
    """Compile `in` over a list of literals."""
    if left.type == "null":
        raise Refusal("null is in no list", expected="`is None`")
    unify((left, *items), "compare")
    if left.type in NUMERIC:
        items = [item for item in items if numbers.may_equal(left, item)]
    if not items:
        return boolean(f"(CASE WHEN {left.sql} IS NOT NULL THEN {str(negated).lower()} END)", left)
    first, *rest = same_type((left, *items), "compare")
    if left.type == "text" and len(rest) <= _SHORT:
        return boolean(f"({'NOT ' if negated else ''}{_among(first, rest)})", left)
    word = "NOT IN" if negated else "IN"
    return boolean(f"({first} {word} ({', '.join(rest)}))", left)


def _among(value: str, items: Sequence[str]) -> str:
    """Look a text up in a map: the engine asks once for each word of a column's dictionary, which it does not for IN."""
    keys = list(dict.fromkeys(items))
    return f"map_contains(MAP([{', '.join(keys)}], [{', '.join('0' * len(keys))}]), {value})"


def is_null(value: Value, *, negated: bool) -> Value:
    """Compile `is None` and `is not None`."""
    return boolean(f"({value.sql} IS {'NOT ' if negated else ''}NULL)", value)


def join_booleans(word: str, parts: Sequence[Value]) -> Value:
    """Compile `and` and `or` in three-valued logic."""
    return boolean("(" + f" {word} ".join(part.sql for part in parts) + ")", *parts)


def choose(condition: Value, left: Value, right: Value) -> Value:
    """Compile `left if condition else right`; an unknown condition chooses `right`."""
    kind = unify((left, right), "choose between")
    first, second = same_type((left, right), "choose between")
    sql = f"(CASE WHEN {condition.sql} THEN {first} ELSE {second} END)"
    return one_of(sql, kind, (left, right), (condition, left, right))


def one_of(sql: str, kind: ValueType, values: Sequence[Value], parts: Sequence[Value]) -> Value:
    """Return the value that is one of `values` by `sql`, which has `parts`."""
    known = [value for value in values if value.type != "null"]
    if kind in NUMERIC and known:
        return numbers.aligned_value(sql, known, parts)
    weight = 1 + sum(part.weight for part in parts)
    return Value(sql, kind, weight, growth=max((value.growth for value in values), default=1))


def unify(values: Sequence[Value], action: str) -> ValueType:
    """Return the type of all of `values`, nulls aside; integers become decimals among decimals."""
    kinds = sorted({value.type for value in values if value.type != "null"})
    if len(kinds) > 1 and not set(kinds) <= set(NUMERIC):
        raise Refusal(
            f"cannot {action} {' and '.join(kinds)}", expected=_HINTS.get(frozenset(kinds), "values of one type")
        )
    if not kinds:
        return "null"
    return "decimal" if "decimal" in kinds else kinds[0]


def same_type(values: Sequence[Value], action: str) -> list[str]:
    """Return SQL of the values in one common type."""
    kind = unify(values, action)
    if kind == "null":
        return ["NULL" for _ in values]
    if kind not in NUMERIC:
        return [null_of(kind).sql if value.type == "null" else value.sql for value in values]
    texts = iter(numbers.aligned([value for value in values if value.type != "null"]))
    return ["NULL" if value.type == "null" else next(texts) for value in values]
