"""From allowed nodes to typed SQL."""

import ast
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from libs.common.nearest import nearest_name
from libs.common.vocabulary.schemas import FieldType, SchemaField
from libs.expressions import numbers, operators
from libs.expressions.comparing import Side, compared, require_like
from libs.expressions.errors import ExpressionError, Refusal
from libs.expressions.functions import FUNCTIONS, Context, call
from libs.expressions.meant import WORDS, function_meant, short
from libs.expressions.parsing import MAX_STRING, NO_LIST, parse
from libs.expressions.patterns import Patterns
from libs.expressions.quoting import quote_identifier
from libs.expressions.scope import Compiled, Lookup, Moment, Scope
from libs.expressions.slips import VALUES_ELSEWHERE, WRITTEN_OTHERWISE
from libs.expressions.source import Source
from libs.expressions.values import (
    NUMERIC,
    SQL_TYPES,
    Value,
    boolean,
    date_constant,
    null_of,
    shared,
    text_constant,
    timestamp_constant,
)  # fmt: skip

MAX_SQL = 262_144
ANY_MOMENT = Moment(date(2000, 1, 1), datetime(2000, 1, 1, tzinfo=UTC))
"""For looking at what an expression says, whenever it is judged."""
_NAMES = ("null", "business_date", "as_of")


def compile_expression(
    text: str, scope: Scope, moment: Moment, expect: FieldType | None = None, patterns: Patterns | None = None
) -> Compiled:
    """Compile `text` to SQL over the typed view `t`; `expect` is the type that it must have (integers pass as decimals).

    `patterns` is what its patterns may come to, shared with other texts; without it the text has all of it.
    Raises ExpressionError, and nothing else, for whatever is not a well-typed expression within the limits.
    """
    body, source = parse(text)
    try:
        return _finish(_Compiler(scope, moment, source, patterns or Patterns()), body, expect)
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply", expected="a flatter expression") from None


def typecheck(text: str, scope: Scope, expect: FieldType | None = None, patterns: Patterns | None = None) -> FieldType:
    """Return the type of `text`; refuses what `compile_expression` refuses."""
    return compile_expression(text, scope, ANY_MOMENT, expect, patterns).type


def _finish(compiler: "_Compiler", body: ast.expr, expect: FieldType | None) -> Compiled:
    value = compiler.visit(body)
    try:
        value = _as_result(value, expect)
    except Refusal as refusal:
        raise compiler.source.error(body, refusal.message, expected=refusal.expected) from None
    if len(value.sql) > MAX_SQL:
        raise compiler.source.error(body, "the expression is too large once compiled", expected="a shorter expression")
    assert value.type != "null"  # noqa: S101 - for the type checker: _as_result leaves no null type
    return Compiled(value.sql, value.type, frozenset(compiler.fields), tuple(compiler.lookups.values()), total=True)


def _as_result(value: Value, expect: FieldType | None) -> Value:
    if value.type == "null":
        if expect is None:
            raise Refusal("null alone has no type", expected="a value of a known type")
        return null_of(expect)
    if expect == "decimal" and value.type == "integer":
        width, scale = numbers.common((value,))
        return Value(numbers.fit(value, width, scale), "decimal", value.weight, scale, value.bound)
    if expect is not None and value.type != expect:
        wanted = "boolean, as a comparison gives" if expect == "boolean" else expect
        raise Refusal(f"the expression gives {value.type}", expected=wanted)
    if value.type == "integer" and value.physical != "BIGINT":
        return Value(f"TRY_CAST({value.sql} AS BIGINT)", "integer")
    return value


class _Compiler:
    """Visits one expression; gathers the fields and lookups it uses."""

    def __init__(self, scope: Scope, moment: Moment, source: Source, patterns: Patterns) -> None:
        self.scope = scope
        self.moment = moment
        self.source = source
        self.patterns = patterns
        self.fields: set[str] = set()
        self.lookups: dict[str, Lookup] = {}
        self._visitors: dict[type[ast.expr], Callable[..., Value]] = {
            ast.Constant: self._constant,
            ast.Name: self._name,
            ast.BoolOp: self._bool,
            ast.UnaryOp: self._unary,
            ast.BinOp: self._binary,
            ast.Compare: self._compare,
            ast.IfExp: self._choose,
            ast.Call: self._call,
        }

    def visit(self, node: ast.expr) -> Value:
        """Compile a node; refusals get its position."""
        visitor = self._visitors.get(type(node))
        if visitor is None:
            raise self.source.error(node, "a list can only stand after `in`", expected=NO_LIST)
        try:
            return visitor(node)
        except Refusal as refusal:
            raise self.source.error(node, refusal.message, expected=refusal.expected, nearest=refusal.nearest) from None

    def _constant(self, node: ast.Constant) -> Value:
        value = node.value
        if value is None:
            return Value("NULL", "null")
        if isinstance(value, bool):
            return Value(str(value).lower(), "boolean", constant=value)
        if isinstance(value, int):
            return numbers.number_constant(value)
        if isinstance(value, float):
            return self._decimal(node)
        if isinstance(value, str):
            return self._text(node, value)
        raise Refusal(
            f"{type(value).__name__} literals are not part of the language",
            expected="a number, text, true, false or null",
        )

    def _decimal(self, node: ast.Constant) -> Value:
        try:
            return numbers.number_constant(Decimal(self.source.written(node).replace("_", "")))
        except InvalidOperation:
            raise Refusal("the number is not readable", expected="a decimal number") from None

    def _text(self, node: ast.Constant, value: str) -> Value:
        if self.source.string_tokens(node) > 1:
            raise Refusal("two texts stand side by side", expected="+ between them, or \\' for a quote inside a text")
        if len(value) > MAX_STRING:
            raise Refusal(f"the text has {len(value)} characters", expected=f"at most {MAX_STRING}")
        odd = next((char for char in value if char < " " and char not in "\t\n\r"), None)
        if odd is not None:  # Python reads '\b' as backspace and '\1' as U+0001, where a pattern was meant
            raise Refusal(f"the text holds the character U+{ord(odd):04X}", expected="\\\\ for a backslash, or r'...'")
        try:
            return text_constant(value)
        except ValueError as error:
            raise Refusal(str(error)) from None

    def _name(self, node: ast.Name) -> Value:
        name = node.id
        if name in WORDS:
            return Value(name, "boolean", constant=WORDS[name])
        if name == "null":
            return Value("NULL", "null")
        if name in ("business_date", "as_of"):
            return self._moment(name)
        if self.scope.schema.field(name) is None and self.source.after_note_sign(node):
            raise Refusal(f"unknown field {short(name)}", expected="# before a note")
        return self.field(name)

    def _moment(self, name: str) -> Value:
        if self.scope.schema.field(name):
            raise Refusal(f"{name} is both a field and the run's own", expected=f"field('{name}') for the field")
        return (
            date_constant(self.moment.business_date)
            if name == "business_date"
            else timestamp_constant(self.moment.as_of)
        )

    def field(self, name: str) -> Value:
        """Compile the reference to a field of the record."""
        found = self.scope.schema.field(name)
        if found is None:
            if name in FUNCTIONS:
                raise Refusal(f"{name} is a function", expected=FUNCTIONS[name].signature)
            if name in self.scope.mappings:
                raise Refusal(f"{name} is a mapping", expected=f"its name in quotes, as in has('{name}', key)")
            known = [*(field.name for field in self.scope.schema.fields), *WORDS, *_NAMES]
            near = VALUES_ELSEWHERE.get(name.lower()) or nearest_name(name, known)
            wanted = self.scope.fields_are if near else f"{self.scope.fields_are}, or a text in quotes"
            raise Refusal(f"unknown field {short(name)}", expected=wanted, nearest=near)
        self.fields.add(name)
        return _field_value(found)

    def _bool(self, node: ast.BoolOp) -> Value:
        word = "AND" if isinstance(node.op, ast.And) else "OR"
        return operators.join_booleans(word, [self._boolean(part) for part in node.values])

    def _boolean(self, node: ast.expr) -> Value:
        value = self.visit(node)
        if value.type == "null":
            return null_of("boolean")
        if value.type != "boolean":
            raise self.source.error(
                node, f"a condition cannot be {value.type}", expected="true or false, e.g. a comparison"
            )
        return value

    def _unary(self, node: ast.UnaryOp) -> Value:
        if isinstance(node.op, ast.Not):
            part = self._boolean(node.operand)
            return boolean(f"(NOT {part.sql})", part)
        value = self.visit(node.operand)
        if value.type not in NUMERIC:
            raise Refusal(f"a sign does not go with {value.type}", expected="a number")
        if isinstance(node.op, ast.USub):
            return numbers.negate(value)
        if isinstance(node.op, ast.UAdd):
            return value
        raise Refusal("`~` is not part of the language", expected="not")

    def _binary(self, node: ast.BinOp) -> Value:
        if type(node.op) not in operators.ARITHMETIC:
            raise self.source.operator(node)
        return operators.binary(node.op, self.visit(node.left), self.visit(node.right))

    def _compare(self, node: ast.Compare) -> Value:
        if len(node.ops) > 1 and any(isinstance(link, ast.In | ast.NotIn | ast.Is | ast.IsNot) for link in node.ops):
            raise Refusal("`in` and `is` cannot be chained", expected="`and` between the conditions")
        left = Side(node.left, self.visit(node.left))
        return self._chain(left, list(zip(node.ops, node.comparators, strict=True)))

    def _chain(self, left: Side, links: Sequence[tuple[ast.cmpop, ast.expr]]) -> Value:
        operator, node = links[0]
        if isinstance(operator, ast.In | ast.NotIn | ast.Is | ast.IsNot):
            return self._membership(left.value, operator, node)
        right = Side(node, self.visit(node))
        checked = compared(self.scope, self.source, operator, left, right)
        if len(links) == 1:
            return checked
        return shared(right.value, lambda middle: self._link(operator, left, Side(node, middle), links[1:]))

    def _link(self, operator: ast.cmpop, left: Side, middle: Side, rest: Sequence[tuple[ast.cmpop, ast.expr]]) -> Value:
        first = operators.compare(operator, left.value, middle.value)
        return operators.join_booleans("AND", [first, self._chain(middle, rest)])

    def _membership(self, left: Value, operator: ast.cmpop, node: ast.expr) -> Value:
        if isinstance(operator, ast.Is | ast.IsNot):
            if self.visit(node).type != "null":
                raise self.source.error(node, "`is` compares with null only", expected="None, or == for values")
            return operators.is_null(left, negated=isinstance(operator, ast.IsNot))
        if not isinstance(node, ast.List | ast.Tuple):
            raise self.source.error(node, "`in` takes a list of literals", expected="[...], or contains(text, part)")
        if not node.elts:
            raise self.source.error(node, "the list is empty", expected="at least one literal")
        items = [self._item(item) for item in node.elts]
        for item, value in zip(node.elts, items, strict=True):
            require_like(self.source, left, Side(item, value))
        return operators.contained(left, items, negated=isinstance(operator, ast.NotIn))

    def _item(self, node: ast.expr) -> Value:
        value = self.visit(node)
        if value.type == "null":
            raise self.source.error(
                node, "null in a list makes every answer unknown", expected="`is None` beside the list"
            )
        if value.constant is None:
            raise self.source.error(node, "a list holds literals only", expected="a literal")
        return value

    def _choose(self, node: ast.IfExp) -> Value:
        return operators.choose(self._boolean(node.test), self.visit(node.body), self.visit(node.orelse))

    def _call(self, node: ast.Call) -> Value:
        if not isinstance(node.func, ast.Name):
            raise Refusal("only functions of the language can be called", expected="a function name")
        name = node.func.id
        if name not in FUNCTIONS:
            otherwise = WRITTEN_OTHERWISE.get(name.lower())
            near = None if otherwise else function_meant(name)
            raise Refusal(
                f"unknown function {short(name)}", expected=otherwise or "a function of the language", nearest=near
            )
        if node.keywords:
            raise Refusal("named arguments are not part of the language", expected="arguments in order")
        arguments = [self.visit(argument) for argument in node.args]
        try:
            return call(FUNCTIONS[name], arguments, Context(self.scope, self.lookups, self.field, self.patterns))
        except Refusal as refusal:
            place = node if refusal.argument is None else node.args[refusal.argument]
            raise self.source.error(
                place, refusal.message, expected=refusal.expected, nearest=refusal.nearest, within=refusal.within
            ) from None


def _field_value(field: SchemaField) -> Value:
    sql = f'"t".{quote_identifier(field.name)}'
    if field.type == "integer":
        return Value(sql, "integer", 1, 0, numbers.INT64, "BIGINT")
    if field.type == "decimal":
        physical = f"DECIMAL({field.precision},{field.scale})"
        return Value(sql, "decimal", 1, field.scale, 10**field.precision - 1, physical)
    return Value(sql, field.type, physical=SQL_TYPES[field.type])
