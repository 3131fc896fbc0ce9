"""The table of functions: signature, summary and builder of each; the reference page is written from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from libs.expressions.errors import Refusal
from libs.expressions.patterns import Patterns
from libs.expressions.scope import Lookup, Scope
from libs.expressions.values import NUMERIC, Value, null_of

Kind = Literal[
    "text", "number", "integer", "boolean", "date", "timestamp", "moment", "any", "constant text", "constant integer"
]

_TAKES: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "number": NUMERIC,
    "integer": ("integer",),
    "boolean": ("boolean",),
    "date": ("date",),
    "timestamp": ("timestamp",),
    "moment": ("date", "timestamp"),
    "any": ("text", "integer", "decimal", "boolean", "date", "timestamp", "null"),
    "constant text": ("text",),
    "constant integer": ("integer",),
}
_NULLS: dict[str, Literal["text", "integer", "boolean", "date", "timestamp"]] = {
    "text": "text", "number": "integer", "integer": "integer", "boolean": "boolean", "date": "date", "timestamp": "timestamp",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its name and what it takes."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Context:
    """What a builder may reach: the scope, the lookups gathered so far, the fields, and what patterns may come to."""

    scope: Scope
    lookups: dict[str, Lookup]
    field: Callable[[str], Value]
    patterns: Patterns


@dataclass(frozen=True, slots=True)
class Function:
    """One function. The last `optional` parameters may be left out; with `repeats` the last may come again."""

    name: str
    parameters: tuple[Parameter, ...]
    result: str
    summary: str
    group: str
    optional: int
    repeats: bool
    build: Callable[..., Value]
    needs_context: bool

    @property
    def signature(self) -> str:
        """Return the function as its user writes it, with types."""
        shown = [f"{parameter.name}: {parameter.kind}" for parameter in self.parameters]
        required = len(shown) - self.optional
        shown = shown[:required] + [f"[{part}]" for part in shown[required:]] + (["..."] if self.repeats else [])
        return f"{self.name}({', '.join(shown)}) -> {self.result}"


FUNCTIONS: dict[str, Function] = {}


def function(
    declaration: str,
    result: str,
    summary: str,
    *,
    group: str,
    optional: int = 0,
    repeats: bool = False,
    needs_context: bool = False,
) -> Callable[[Callable[..., Value]], Callable[..., Value]]:
    """Register the builder of a function declared as `name(parameter: kind, ...)`."""
    name, _, inside = declaration.rstrip(")").partition("(")
    parameters = tuple(_parameter(part) for part in inside.split(",") if part)

    def register(build: Callable[..., Value]) -> Callable[..., Value]:
        FUNCTIONS[name] = Function(name, parameters, result, summary, group, optional, repeats, build, needs_context)
        return build

    return register


def _parameter(text: str) -> Parameter:
    name, _, kind = (part.strip() for part in text.partition(":"))
    if kind not in _TAKES:
        raise ValueError(f"unknown kind {kind!r}")
    return Parameter(name, kind)  # type: ignore[arg-type]  # checked on the line above


def call(function: Function, arguments: Sequence[Value], context: Context) -> Value:
    """Check the arguments of a call and build its SQL; Refusal when they do not fit."""
    _check_count(function, len(arguments))
    last = len(function.parameters) - 1
    checked = [
        _checked(function, function.parameters[min(index, last)], value, index) for index, value in enumerate(arguments)
    ]
    return function.build(context, *checked) if function.needs_context else function.build(*checked)


def _check_count(function: Function, given: int) -> None:
    most = len(function.parameters)
    least = most - function.optional
    if given < least or (given > most and not function.repeats):
        raise Refusal(f"{function.name} got {given} argument{'' if given == 1 else 's'}", expected=function.signature)


def _checked(function: Function, parameter: Parameter, value: Value, index: int) -> Value:
    expected = f"{parameter.kind} for {parameter.name} in {function.signature}"
    if parameter.kind.startswith("constant") and value.constant is None:
        raise Refusal(f"{parameter.name} must be a literal", expected=expected, argument=index)
    if value.type == "null" and parameter.kind in _NULLS:
        return null_of(_NULLS[parameter.kind])
    if value.type not in _TAKES[parameter.kind]:
        raise Refusal(f"{parameter.name} cannot be {value.type}", expected=expected, argument=index)
    return value
