from collections.abc import Sequence

from libs.expressions.errors import Refusal
from libs.expressions.functions.registry import function
from libs.expressions.operators import join_booleans, one_of, ordered, same_type, unify
from libs.expressions.values import Value, shared, shared_all

_GROUP = "Choice"


@function("coalesce(value: any)", "same type", "The first value that is not null.", group=_GROUP, repeats=True)
def _coalesce(*values: Value) -> Value:
    kind, given = unify(values, "choose between"), [value for value in values if value.type != "null"]
    if same_type(given, "choose between") == [value.sql for value in given]:
        return one_of(f"coalesce({', '.join(value.sql for value in given) or 'NULL'})", kind, values, values)
    return shared_all(given, lambda each: one_of(_first(each), kind, values, (*each, *each)))


def _first(values: Sequence[Value]) -> str:
    """Choose before bringing to one type: a value with too many digits for that is null then, not absent."""
    forms = same_type(values, "choose between")
    cases = "".join(f" WHEN {value.sql} IS NOT NULL THEN {form}" for value, form in zip(values, forms, strict=True))
    return f"(CASE{cases} END)"


@function(
    "between(value: any, low: any, high: any)",
    "boolean",
    "Whether `low <= value <= high`.",
    group=_GROUP,
)
def _between(value: Value, low: Value, high: Value) -> Value:
    _refuse_nulls((value, low, high))
    return shared(value, lambda one: join_booleans("AND", [ordered("<=", low, one), ordered("<=", one, high)]))


@function("min_of(value: any)", "same type", "The smallest value; null if one is null.", group=_GROUP, repeats=True)
def _min_of(*values: Value) -> Value:
    return _extreme("least", values)


@function("max_of(value: any)", "same type", "The largest value; null if one is null.", group=_GROUP, repeats=True)
def _max_of(*values: Value) -> Value:
    return _extreme("greatest", values)


def _extreme(word: str, values: tuple[Value, ...]) -> Value:
    """Build least or greatest, which skip nulls, so that a null makes the result null."""
    _refuse_nulls(values)
    kind = unify(values, "compare")
    if len(values) == 1:
        return values[0]
    forms = [_replaced(value, sql) for value, sql in zip(values, same_type(values, "compare"), strict=True)]
    return shared_all(forms, lambda each: one_of(_strict(word, [one.sql for one in each]), kind, values, each))


def _replaced(value: Value, sql: str) -> Value:
    weight = value.weight if sql == value.sql else value.weight + 1
    return Value(sql, value.type, weight, value.scale, value.bound, growth=value.growth)


def _strict(word: str, forms: list[str]) -> str:
    unknown = " OR ".join(f"{form} IS NULL" for form in forms)
    return f"(CASE WHEN {unknown} THEN NULL ELSE {word}({', '.join(forms)}) END)"


def _refuse_nulls(values: tuple[Value, ...]) -> None:
    for index, value in enumerate(values):
        if value.type == "null":
            raise Refusal("null makes the result null", expected="a value", argument=index)
