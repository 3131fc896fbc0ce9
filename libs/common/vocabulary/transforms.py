"""How source records become target records: expressions, or a tenant's own SQL or Python."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, FiniteFloat, Tag

from libs.common.vocabulary.base import ExpressionText, Name, Strict

Yields = Literal["one_to_one", "one_to_many", "aggregate"]
"""How many rows come of how many records: one of one, several of one, one of several."""

ORDINAL, ORDINALS, KEY, DROPPED = "_ordinal", "_ordinals", "_key", "_dropped"
"""Columns of a transform's rows beside the target fields: the record behind a row, or the list of them; what the row is
called, where that is not its first record's key; why there is no row of the record."""


class FieldMapping(Strict):
    """One target field and the expression over the source record that gives its value."""

    field: Name
    expression: ExpressionText


class SortKey(Strict):
    """One part of the output's order, an expression over the source record."""

    expression: ExpressionText
    descending: bool = False


class Transform(Strict):
    """How a source record becomes a target record; one-to-one.

    Records for which `where` is not true are *filtered*: they appear in the ledger as such. Ties of `order_by` keep
    source order.
    """

    fields: tuple[FieldMapping, ...] = Field(min_length=1, max_length=500)
    where: ExpressionText | None = None
    order_by: tuple[SortKey, ...] = Field(default=(), max_length=10)


def _storable(text: str) -> str:
    text.encode()  # refuses half of a surrogate pair, which is no character
    if "\x00" in text:
        raise ValueError("must not hold the character U+0000")
    return text


class CodeTransform(Strict):
    """What SQL and Python have in common.

    Each row says in `_ordinal` (or `_ordinals`, a list) which records stand behind it. A row with a reason in `_dropped`
    is no output: its records are *filtered* for that reason. Records behind nothing at all fail the step, unless
    `unused` says that they are filtered too.
    """

    yields: Yields
    unused: Literal["fail", "filter"] = "fail"


class SqlTransform(CodeTransform):
    """One SELECT over the table `records`: the source record's typed fields, `_ordinal` and `_key`.

    Mappings of the report are tables named by their alias: `key` and their columns, as valid on the business date.
    """

    kind: Literal["sql"]
    query: Annotated[str, Field(min_length=1, max_length=8192), AfterValidator(_storable)]


ParameterText = Annotated[str, Field(max_length=10_000), AfterValidator(_storable)]
ParameterInteger = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Parameter = ParameterText | bool | ParameterInteger | FiniteFloat | None
Parameters = dict[Name, Parameter | Annotated[tuple[Parameter, ...], Field(max_length=1000)]]


class PythonTransform(CodeTransform):
    """A module with a function `transform(batches, params)` that yields rows; see `docs/transforms.md`."""

    kind: Literal["python"]
    code: Annotated[str, Field(min_length=1, max_length=65_536), AfterValidator(_storable)]
    params: Parameters = Field(default_factory=dict, max_length=100)


def _kind(value: Any) -> str:
    kind = value.get("kind", "expressions") if isinstance(value, dict) else getattr(value, "kind", "expressions")
    return kind if isinstance(kind, str) else ""


AnyTransform = Annotated[
    Annotated[Transform, Tag("expressions")]
    | Annotated[SqlTransform, Tag("sql")]
    | Annotated[PythonTransform, Tag("python")],
    Discriminator(
        _kind,
        custom_error_type="transform_kind",
        custom_error_message="kind must be 'sql' or 'python', or be left out for expressions",
        custom_error_context={
            "discriminator": "'kind'",
            "expected_tags": "'sql', 'python', 'no kind at all, for expressions'",
        },
    ),
]
"""A transform; without a `kind` it is expressions."""
