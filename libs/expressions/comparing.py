"""Comparisons whose sides do not fit: pointed at where one of them is a literal, with how it is written."""

import ast
from dataclasses import dataclass

from libs.expressions import operators
from libs.expressions.errors import Refusal
from libs.expressions.meant import as_literal
from libs.expressions.scope import Scope
from libs.expressions.source import Source
from libs.expressions.values import Value

_BOTH = 2


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison, as it was written and as it is compiled."""

    node: ast.expr
    value: Value


def compared(scope: Scope, source: Source, operator: ast.cmpop, left: Side, right: Side) -> Value:
    """Compile a comparison; two texts, one of them a field's name, are what double quotes mean elsewhere, and refused."""
    literals = [side for side in (right, left) if isinstance(side.value.constant, str)]
    named = [side for side in literals if scope.schema.field(str(side.value.constant))]
    refused = Refusal("a text is compared with a text") if len(literals) == _BOTH and named else None
    try:
        value = operators.compare(operator, left.value, right.value)
    except Refusal as refusal:
        refused = refusal
    if refused is None:
        return value
    if not literals or "null" in (left.value.type, right.value.type):
        raise refused
    place, *_ = named or literals
    wanted = f"{place.value.constant} without quotes for the field" if named else ""
    other = left if place is right else right
    wanted = wanted or as_literal(str(place.value.constant), other.value.type) or refused.expected
    raise source.error(place.node, refused.message, expected=wanted, nearest=refused.nearest)


def require_like(source: Source, left: Value, item: Side) -> None:
    """Refuse a literal of a list that cannot be compared with the value before the list, at the literal."""
    try:
        operators.unify((left, item.value), "compare")
    except Refusal as refusal:
        constant = item.value.constant
        wanted = as_literal(constant, left.type) if isinstance(constant, str) else ""
        raise source.error(item.node, refusal.message, expected=wanted or refusal.expected) from None
