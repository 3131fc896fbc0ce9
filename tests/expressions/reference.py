"""A slow interpreter of the language's core, written apart from the compiler: Python's own arithmetic, row by row.

None stands for null; numbers are Fractions, so nothing is rounded but by `/` and `round`.
"""

import ast
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from math import floor

Cell = None | bool | Fraction | str


class Interpreter:
    """Evaluates one expression on one record."""

    def __init__(self, record: Mapping[str, Cell]) -> None:
        self.record = record

    def run(self, text: str) -> Cell:
        self.text = text
        return self.visit(ast.parse(text, mode="eval").body)

    def visit(self, node: ast.expr) -> Cell:
        value: Cell = getattr(self, type(node).__name__)(node)
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
        return -value

    def BinOp(self, node: ast.BinOp) -> Cell:  # noqa: N802
        left, right = self.visit(node.left), self.visit(node.right)
        if left is None or right is None:
            return None
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
        if name == "coalesce":
            return next((value for value in values if value is not None), None)
        if name == "between":
            middle, low, high = node.args
            return self.visit(ast.Compare(low, [ast.LtE(), ast.LtE()], [middle, high]))
        if None in values:
            return None
        value: Cell = FUNCTIONS[name](*values)  # type: ignore[operator]
        return value


def calculate(op: type[ast.operator], left: Fraction, right: Fraction) -> Fraction | None:
    if op is ast.Add:
        return left + right
    if op is ast.Sub:
        return left - right
    if op is ast.Mult:
        return left * right
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


def half_even(value: Fraction, places: int) -> Fraction:
    return Fraction(round(value * 10**places), 10**places)


def half_up(value: Fraction, places: int) -> Fraction:
    scaled = abs(value) * 10**places
    whole = floor(scaled + Fraction(1, 2))
    return Fraction(whole if value >= 0 else -whole, 10**places)


FUNCTIONS = {
    "abs": abs,
    "round": lambda value, places=Fraction(0): half_even(value, int(places)),
    "round_half_up": lambda value, places=Fraction(0): half_up(value, int(places)),
    "floor": lambda value: Fraction(floor(value)),
    "ceil": lambda value: Fraction(-floor(-value)),
    "min_of": min,
    "max_of": max,
}


def as_decimal(value: Fraction) -> Decimal:
    """Return the exact decimal of a fraction that has one."""
    with localcontext() as context:
        context.prec = 200
        context.rounding = ROUND_HALF_EVEN
        return Decimal(value.numerator) / Decimal(value.denominator)
