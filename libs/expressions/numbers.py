"""Exact arithmetic on bounded decimals that cannot fail.

Each number carries a scale and a bound. A result is computed in the narrowest DECIMAL that its bound fits; where 38
digits do not suffice, operands (or products) that are too large become null instead of aborting the query.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from libs.expressions.errors import Refusal
from libs.expressions.values import Value, ValueType, shared, total_weight

WIDTH = 38
INT64 = 2**63


def number_constant(value: int | Decimal) -> Value:
    """Return a number literal; its scale is that of its shortest plain notation."""
    scale, unscaled = _shortest(Decimal(value))
    if len(str(abs(unscaled))) > WIDTH or scale > WIDTH:
        raise Refusal("the number is too long", expected=f"at most {WIDTH} digits")
    kind: ValueType = "integer" if isinstance(value, int) else "decimal"
    width = max(digits(abs(unscaled)), scale, 1)
    if kind == "integer" and abs(unscaled) < INT64:
        return Value(f"{unscaled}" if unscaled >= 0 else f"({unscaled})", kind, 1, 0, abs(unscaled), "", value)
    return Value(
        f"CAST('{_plain(unscaled, scale)}' AS DECIMAL({width},{scale}))",
        kind,
        1,
        scale,
        abs(unscaled),
        f"DECIMAL({width},{scale})",
        value,
    )


def _shortest(value: Decimal) -> tuple[int, int]:
    sign, figures, exponent = value.as_tuple()
    if not isinstance(exponent, int) or abs(exponent) > 2 * WIDTH + len(figures):
        raise Refusal("the number is too long", expected=f"at most {WIDTH} digits")
    unscaled = int("".join(map(str, figures))) * (10**exponent if exponent > 0 else 1)
    scale = max(-exponent, 0)
    while scale and unscaled % 10 == 0:
        unscaled, scale = unscaled // 10, scale - 1
    return scale, -unscaled if sign else unscaled


def _plain(unscaled: int, scale: int) -> str:
    figures = tuple(map(int, str(abs(unscaled))))
    return format(Decimal((int(unscaled < 0), figures, -scale)), "f")


def digits(bound: int) -> int:
    """Return how many digits the largest magnitude has."""
    return len(str(bound))


def at_scale(value: Value, scale: int) -> int:
    """Return the bound of `value` when written at a scale that is not smaller than its own."""
    return int(value.bound * 10 ** (scale - value.scale))


def fit(value: Value, width: int, scale: int) -> str:
    """Return SQL of `value` as DECIMAL(width, scale): null where it does not fit, never an error."""
    physical = f"DECIMAL({width},{scale})"
    if value.physical == physical:
        return value.sql
    if at_scale(value, scale) < 10**width:
        if value.constant is not None:
            return f"CAST('{Decimal(str(value.constant)):f}' AS {physical})"
        return f"CAST({value.sql} AS {physical})"
    return f"TRY_CAST({value.sql} AS {physical})"


def may_not_align(value: Value, other: Value) -> bool:
    """Say whether a value may be too large for 38 digits with as many places as another one has."""
    width, scale = common((value, other))
    return value.scale < scale and at_scale(value, scale) >= 10**width


def may_equal(value: Value, literal: Value) -> bool:
    """Say whether a value can be a number literal: by its places, and by how large it gets."""
    return literal.scale <= value.scale and at_scale(literal, value.scale) <= value.bound


def number(
    sql: str, parts: Sequence[Value], scale: int, bound: int, *, kind: ValueType | None = None, physical: str = ""
) -> Value:
    """Return the number computed from `parts`: an integer if all of them are and nothing else is said."""
    whole = all(part.type == "integer" for part in parts)
    return Value(
        sql,
        kind or ("integer" if whole else "decimal"),
        1 + total_weight(parts),
        scale,
        min(bound, 10**WIDTH - 1),
        physical,
    )


def common(values: Sequence[Value], spare: int = 0) -> tuple[int, int]:
    """Return width and scale of a DECIMAL for all of `values`, with `spare` digits left above their largest."""
    scale = max(value.scale for value in values)
    width = digits(max(at_scale(value, scale) for value in values))
    width = min(max(width, scale, 1), WIDTH - spare)
    if width <= scale and scale > WIDTH - spare - 1:
        raise Refusal(
            f"{scale} decimal places leave no room to calculate", expected="fewer decimal places; use round()"
        )
    return width, scale


def add(left: Value, right: Value, operator: str) -> Value:
    """Add or subtract exactly."""
    width, scale = common((left, right), spare=1)
    bound = sum(min(at_scale(part, scale), 10**width - 1) for part in (left, right))
    wide = max(min(digits(bound), WIDTH), width, scale)
    if digits(bound) <= WIDTH and width < WIDTH - 1:
        width = wide
    sql = f"({fit(left, width, scale)} {operator} {fit(right, width, scale)})"
    return number(sql, (left, right), scale, bound)


def own_width(value: Value) -> int:
    """Return how many digits the value needs at its own scale, 38 at most."""
    return min(max(digits(value.bound), value.scale, 1), WIDTH)


def with_divisor(right: Value, body: Callable[[Value], Value]) -> Value:
    """Build `body` over the divisor, null where it is zero. NULLIF is no function: the engine writes it out twice."""
    return shared(right, lambda by: body(replace(by, sql=f"nullif({by.sql}, 0)", physical="", constant=None)))


def modulo(left: Value, right: Value) -> Value:
    """Return Python's `%`: the sign is the divisor's; null for a divisor of zero."""
    return with_divisor(right, lambda by: _modulo(left, by))


def _modulo(left: Value, right: Value) -> Value:
    width, scale = common((left, right), spare=1)
    sql = _floor_modulo(fit(left, width, scale), fit(right, width, scale))
    return number(sql, (left, right), scale, at_scale(right, scale))


def _floor_modulo(left: str, divisor: str) -> str:
    return f"((({left} % {divisor}) + {divisor}) % {divisor})"


def floor_divide(left: Value, right: Value) -> Value:
    """Return Python's `//`: rounded towards minus infinity; null for a divisor of zero."""
    return with_divisor(right, lambda by: shared(left, lambda one: _floor_quotient(one, by)))


def _floor_quotient(left: Value, right: Value) -> Value:
    width, scale = common((left, right), spare=2)
    above, below = fit(left, width, scale), fit(right, width, scale)
    physical = f"DECIMAL({WIDTH},0)"
    whole = f"({above} - {_floor_modulo(above, below)})"
    sql = f"CAST(decimal_division({whole}, {below}, 0) AS {physical})"
    return number(sql, (left, right), 0, 2 * 10**width, physical=physical)


def negate(value: Value) -> Value:
    """Return minus the value."""
    if isinstance(value.constant, Decimal):
        return number_constant(value.constant.copy_negate())  # unary minus would round to 28 digits
    if isinstance(value.constant, int):
        return number_constant(-value.constant)
    return number(f"(-{fit(value, own_width(value), value.scale)})", (value,), value.scale, value.bound)


def absolute(value: Value) -> Value:
    """Return the magnitude of the value."""
    return number(f"abs({fit(value, own_width(value), value.scale)})", (value,), value.scale, value.bound)


def rounded(value: Value, places: int, function: str) -> Value:
    """Round by an SQL function to `places` decimals; without decimals the result is an integer."""
    kind: ValueType = "integer" if places == 0 else "decimal"
    if isinstance(value.constant, Decimal) and kind == "integer" and value.scale == 0:
        return number_constant(int(value.constant))
    if places >= value.scale:
        return Value(value.sql, kind, value.weight, value.scale, value.bound, value.physical, value.constant)
    width = min(own_width(value) + 1, WIDTH)
    bound = value.bound // 10 ** (value.scale - places) + 1
    arguments = fit(value, width, value.scale) + (f", {places}" if function.startswith("round") else "")
    return number(f"{function}({arguments})", (value,), places, bound, kind=kind)


def aligned(values: Sequence[Value]) -> list[str]:
    """Return SQL of the values in one common type, so that comparing or choosing among them cannot fail."""
    if all(value.scale == 0 for value in values):
        return [value.sql for value in values]
    width, scale = common(values)
    return [fit(value, width, scale) for value in values]


def aligned_value(sql: str, values: Sequence[Value], parts: Sequence[Value]) -> Value:
    """Return the number that is one of `values`; `sql` was made from their `aligned` forms."""
    scale = max(value.scale for value in values)
    bound = max(at_scale(value, scale) for value in values)
    kind: ValueType = "integer" if all(value.type == "integer" for value in values) else "decimal"
    return Value(sql, kind, 1 + total_weight(parts), scale, min(bound, 10**WIDTH - 1))
