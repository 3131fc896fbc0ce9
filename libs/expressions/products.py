"""Products and quotients of bounded decimals, which cannot fail.

Two numbers of many places leave few digits before the point of what comes of them, if it is to be held with all places
that it could have. Most numbers do not use their places: where a result is too large for that, it is worked out with
fewer, which is as exact where nothing but zeros is left out.
"""

from decimal import Decimal

from libs.expressions.errors import Refusal
from libs.expressions.numbers import WIDTH, digits, fit, number, number_constant, own_width, with_divisor
from libs.expressions.values import Value, shared, shared_all

PRODUCT_SCALE = 20
DIVISION_SCALE = 10
_INT64_DIGITS = 18


def multiply(left: Value, right: Value) -> Value:
    """Multiply exactly up to 20 decimal places (or those of a factor that has more), half-even beyond.

    A product that 38 digits do not hold is null.
    """
    kept = max(PRODUCT_SCALE, left.scale, right.scale)
    if kept >= WIDTH:
        raise Refusal(f"the product has {kept} decimal places", expected=f"fewer than {WIDTH}; use round()")
    scale, bound = left.scale + right.scale, left.bound * right.bound
    if max(digits(bound), scale) <= WIDTH:
        return _kept(_safe_product(left, right, scale, bound), kept)
    return shared_all((left, right), lambda both: _guarded_product(both[0], both[1], kept))


def _kept(product: Value, places: int) -> Value:
    """Round a product that has more places than are kept."""
    if product.scale <= places:
        return product
    bound = product.bound // 10 ** (product.scale - places) + 1
    return number(f"round_even({product.sql}, {places})", (product,), places, bound, kind="decimal")


def _safe_product(left: Value, right: Value, scale: int, bound: int) -> Value:
    """Multiply where the bound fits: one side is made wide enough that the engine calculates in 128 bit if need be."""
    width = own_width(left)
    if max(digits(bound), scale) > _INT64_DIGITS:
        width = max(width, min(max(digits(bound), scale), WIDTH))
    sql = f"({fit(left, width, left.scale)} * {fit(right, own_width(right), right.scale)})"
    return number(sql, (left, right), scale, bound)


def _guarded_product(left: Value, right: Value, kept: int) -> Value:
    """Multiply where the size allows all places, else with fewer where that is as exact."""
    scale, bound = left.scale + right.scale, left.bound * right.bound
    size = f"abs(CAST({left.sql} AS DOUBLE)) * abs(CAST({right.sql} AS DOUBLE))"
    product = f"{fit(left, WIDTH, left.scale)} * {fit(right, WIDTH, right.scale)}"
    if scale <= kept:
        return number(f"(CASE WHEN {size} < {_limit(scale)} THEN {product} END)", (left, right), scale, bound)
    whole = f"WHEN {size} < {_limit(scale)} THEN round_even({product}, {kept}) " if scale <= WIDTH else ""
    fewer = dict.fromkeys(_fewer(left, right, kept, least) for least in (kept // 2, kept // 4))
    fitting = f"WHEN {size} >= {_limit(kept)} THEN NULL " + "".join(fewer)
    bound = min(bound // 10 ** (scale - kept) + 1, 10**WIDTH - 1)
    return number(f"(CASE {whole}{fitting}END)", (left, right), kept, bound)


def _limit(scale: int) -> str:
    """Return SQL of the size that a product must be below, whose estimate is a little wrong."""
    return f"9.99999999e{WIDTH - 1 - scale}"


def _fewer(left: Value, right: Value, kept: int, least: int) -> str:
    """Return a branch that multiplies with the kept places in all, of which the factor with fewer has its least ones."""
    few, many = (left, right) if left.scale < right.scale else (right, left)
    most = min(many.scale, kept - min(few.scale, least))
    places = ((left, kept - most), (right, most)) if many is right else ((left, most), (right, kept - most))
    return f"WHEN {_exact(*places)} THEN {' * '.join(_narrow(*one).sql for one in places)} "


def _narrow(value: Value, scale: int) -> Value:
    physical = f"DECIMAL({WIDTH},{scale})"
    sql = f"CAST({fit(value, WIDTH, value.scale)} AS {physical})"
    return Value(sql, value.type, value.weight + 1, scale, value.bound // 10 ** (value.scale - scale), physical)


def _exact(*narrowed: tuple[Value, int]) -> str:
    """Return SQL of whether values have no more than so many places."""
    parts = [
        f"{fit(value, WIDTH, value.scale)} % {fit(number_constant(Decimal(1).scaleb(-places)), WIDTH, value.scale)} = 0"
        for value, places in narrowed
        if places < value.scale
    ]
    return " AND ".join(parts)


def divide(left: Value, right: Value) -> Value:
    """Divide exactly, half-even at ten decimal places; null for a divisor of zero."""
    smallest = right.bound if right.constant else 1
    if not _lacks_room(left, right):
        return with_divisor(right, lambda by: _quotient(left, by, smallest))
    return with_divisor(right, lambda by: shared(left, lambda one: _either_quotient(one, by, smallest)))


def _shift(left: Value, right: Value) -> int:
    """Return by how many digits the dividend is made longer; where it is below zero, the divisor is."""
    return DIVISION_SCALE + right.scale - left.scale


def _lacks_room(left: Value, right: Value) -> bool:
    """Say whether a side may be too large to be made longer, and has places that it may not need."""
    shift = _shift(left, right)
    small = digits(left.bound) <= WIDTH - max(shift, 0) and digits(right.bound) <= WIDTH - max(-shift, 0)
    return not small and max(left.scale, right.scale) > DIVISION_SCALE


def _either_quotient(left: Value, right: Value, smallest: int) -> Value:
    whole = _quotient(left, right, smallest)
    places = [(value, min(value.scale, DIVISION_SCALE)) for value in (left, right)]
    fewer = _quotient(_narrow(*places[0]), _narrow(*places[1]), smallest=1)
    sql = f"coalesce({whole.sql}, CASE WHEN {_exact(*places)} THEN {fewer.sql} END)"
    bound = max(whole.bound, fewer.bound)
    return number(sql, (whole,), DIVISION_SCALE, bound, kind="decimal", physical=whole.physical)


def _quotient(left: Value, right: Value, smallest: int) -> Value:
    shift = _shift(left, right)
    above, below = _room(left, max(shift, 0)), _room(right, max(-shift, 0))
    sql = f"decimal_division({fit(left, above, left.scale)}, {fit(right, below, right.scale)}, {DIVISION_SCALE})"
    physical = f"DECIMAL({WIDTH},{DIVISION_SCALE})"
    bound = min(left.bound, 10**above) * 10 ** max(shift, 0) // (smallest * 10 ** max(-shift, 0)) + 1
    sql = f"CAST({sql} AS {physical})"
    return number(sql, (left, right), DIVISION_SCALE, bound, kind="decimal", physical=physical)


def _room(value: Value, shift: int) -> int:
    width = min(own_width(value), WIDTH - shift)
    if width < max(value.scale, 1):
        raise Refusal("the division needs more than 38 digits", expected="fewer decimal places; use round()")
    return width
