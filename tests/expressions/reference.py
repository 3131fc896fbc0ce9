"""A slow interpreter of the language, written apart from the compiler: Python's own arithmetic, row by row.

None stands for null; numbers are Fractions, so nothing is rounded but by `/`, `round` and products of more than twenty
places. The functions are in `reference_functions`.
"""

import ast
from collections.abc import Mapping
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from math import floor
from typing import Any

from tests.expressions.reference_functions import FUNCTIONS, half_even, places_of

Cell = None | bool | Fraction | str | date | datetime


class Interpreter:
    """Evaluates one expression on one record."""

    def __init__(
        self, record: Mapping[str, Cell], mappings: Mapping[str, Mapping[str, Mapping[str, str | None]]] | None = None
    ) -> None:
        self.record = record
        self.mappings = mappings or {}
        self.largest = Fraction(0)

    def run(self, text: str) -> Cell:
        self.text = text
        return self.visit(ast.parse(text, mode="eval").body)

    def visit(self, node: ast.expr) -> Cell:
        value: Cell = getattr(self, type(node).__name__)(node)
        if isinstance(value, Fraction):
            self.largest = max(self.largest, abs(value))
        return value

    def Constant(self, node: ast.Constant) -> Cell:  # noqa: N802 - named like the node
        if node.value is None or isinstance(node.value, bool | str):
            return node.value
        return Fraction(ast.get_source_segment(self.text, node) or "0")

    def Name(self, node: ast.Name) -> Cell:  # noqa: N802
        return self.record[node.id]

    def BoolOp(self, node: ast.BoolOp) -> Cell:  # noqa: N802
        decisive = isinstance(node.op, ast.Or)
        values = [self.visit(part) for part in node.values]
        if decisive in values:
            return decisive
        return None if None in values else not decisive

    def UnaryOp(self, node: ast.UnaryOp) -> Cell:  # noqa: N802
        value = self.visit(node.operand)
        if value is None:
            return None
        if isinstance(node.op, ast.Not):
            return not value
        assert isinstance(value, Fraction)
        return value if isinstance(node.op, ast.UAdd) else -value

    def BinOp(self, node: ast.BinOp) -> Cell:  # noqa: N802
        left, right = self.visit(node.left), self.visit(node.right)
        if left is None or right is None:
            return None
        if isinstance(left, str) and isinstance(right, str):
            return left + right
        return calculate(type(node.op), left, right)  # type: ignore[arg-type]

    def Compare(self, node: ast.Compare) -> Cell:  # noqa: N802
        operands = [node.left, *node.comparators]
        links = [self.link(op, left, right) for op, left, right in zip(node.ops, operands, operands[1:], strict=False)]
        if False in links:
            return False
        return None if None in links else True

    def link(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Cell:
        first = self.visit(left)
        if isinstance(op, ast.Is | ast.IsNot):
            return (first is None) == isinstance(op, ast.Is)
        if isinstance(op, ast.In | ast.NotIn):
            items = [self.visit(item) for item in right.elts]  # type: ignore[attr-defined]
            return None if first is None else (first in items) == isinstance(op, ast.In)
        second = self.visit(right)
        if first is None or second is None:
            return None
        return compare(type(op), first, second)

    def IfExp(self, node: ast.IfExp) -> Cell:  # noqa: N802
        return self.visit(node.body if self.visit(node.test) is True else node.orelse)

    def Call(self, node: ast.Call) -> Cell:  # noqa: N802
        values = [self.visit(argument) for argument in node.args]
        name = node.func.id  # type: ignore[attr-defined]
        if name == "field":
            return self.record[str(values[0])]
        if name == "coalesce":
            return next((value for value in values if value is not None), None)
        if name == "between":
            middle, low, high = node.args
            return self.visit(ast.Compare(low, [ast.LtE(), ast.LtE()], [middle, high]))
        if None in values:
            return None
        if name in ("lookup", "has"):
            return self.look(name, *values)
        value: Cell = FUNCTIONS[name](*values)
        return value

    def look(self, name: str, mapping: Any, key: Any, column: Any = None) -> Cell:
        entry = self.mappings[mapping].get(key)
        return entry is not None if name == "has" else (entry or {}).get(column)


def calculate(op: type[ast.operator], left: Fraction, right: Fraction) -> Fraction | None:
    if op is ast.Add:
        return left + right
    if op is ast.Sub:
        return left - right
    if op is ast.Mult:
        return half_even(left * right, max(20, places_of(left), places_of(right)))
    if right == 0:
        return None
    if op is ast.Div:
        return half_even(left / right, 10)
    whole = Fraction(floor(left / right))
    return whole if op is ast.FloorDiv else left - whole * right


def compare(op: type[ast.cmpop], left: Cell, right: Cell) -> bool:
    verdicts = {ast.Eq: left == right, ast.NotEq: left != right}
    if op in verdicts:
        return verdicts[op]
    less, equal = left < right, left == right  # type: ignore[operator]
    return {ast.Lt: less, ast.LtE: less or equal, ast.Gt: not less and not equal, ast.GtE: not less}[op]


def as_decimal(value: Fraction) -> Decimal:
    """Return the exact decimal of a fraction that has one."""
    with localcontext() as context:
        context.prec = 200
        context.rounding = ROUND_HALF_EVEN
        return Decimal(value.numerator) / Decimal(value.denominator)
