from libs.expressions import numbers
from libs.expressions.errors import Refusal
from libs.expressions.functions.registry import function
from libs.expressions.values import Value

_GROUP = "Numbers"
_MAX_PLACES = 18


@function("abs(value: number)", "number", "The magnitude.", group=_GROUP)
def _abs(value: Value) -> Value:
    return numbers.absolute(value)


@function(
    "round(value: number, places: constant integer)",
    "number",
    "Rounded half to even; without `places` to an integer.",
    group=_GROUP,
    optional=1,
)
def _round(value: Value, places: Value | None = None) -> Value:
    return numbers.rounded(value, _places(places), "round_even")


@function(
    "round_half_up(value: number, places: constant integer)",
    "number",
    "Rounded half away from zero; without `places` to an integer.",
    group=_GROUP,
    optional=1,
)
def _round_half_up(value: Value, places: Value | None = None) -> Value:
    return numbers.rounded(value, _places(places), "round")


@function("floor(value: number)", "integer", "The largest integer that is not above the value.", group=_GROUP)
def _floor(value: Value) -> Value:
    return numbers.rounded(value, 0, "floor")


@function("ceil(value: number)", "integer", "The smallest integer that is not below the value.", group=_GROUP)
def _ceil(value: Value) -> Value:
    return numbers.rounded(value, 0, "ceil")


def _places(value: Value | None) -> int:
    if value is None:
        return 0
    places = int(str(value.constant))
    if not 0 <= places <= _MAX_PLACES:
        raise Refusal(f"cannot round to {places} places", expected=f"0 to {_MAX_PLACES}", argument=1)
    return places
