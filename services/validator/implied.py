"""What a schema implies by itself: types, required fields, lengths."""

from collections.abc import Iterator, Sequence

from libs.common.vocabulary.schemas import SchemaField
from libs.expressions import TypedColumn, quote_identifier
from services.validator.checks import Condition, Correction
from services.validator.messages import message_sql

_LOOKS = {
    "text": "any text",
    "integer": "a whole number of at most 18 digits",
    "boolean": "true or false",
    "date": "YYYY-MM-DD",
    "timestamp": "YYYY-MM-DDTHH:MM:SS with a zone, at most 6 places after the second",
}


def implied(field: SchemaField, column: TypedColumn, corrections: Sequence[Correction]) -> Iterator[Condition]:
    """Yield the checks of one field; what a correction replaced counts as it is afterwards."""
    corrected = [f'("t"."?c{n}" IN {one.failing})' for n, one in enumerate(corrections) if one.field == field.name]
    shown = f"{{{field.name}}}"
    if column.conforms != "true":
        sound = " OR ".join([f'"t"."?type:{field.name}"', *corrected])
        yield _condition(field, "type", sound, f"{field.name} {shown} is not of type {field.type} ({_looks(field)})")
    if field.required:
        yield _condition(field, "required", _given(field.name, corrected), f"{field.name} is missing")
    if column.fits != "true":
        fits = _fits(field) if corrected else f'"t"."?length:{field.name}"'
        yield _condition(field, "length", fits, f"{field.name} is longer than {field.max_length} characters")


def _looks(field: SchemaField) -> str:
    """Say what the texts of a type look like: a number with more digits than the field's is not of it either."""
    if field.type == "decimal":
        return f"at most {field.precision - field.scale} digits before the point, {field.scale} after it"
    return _LOOKS[field.type]


def _given(name: str, corrected: Sequence[str]) -> str:
    if not corrected:
        return f'"t"."?given:{name}"'
    return (
        f'CASE WHEN {" OR ".join(corrected)} THEN "t".{quote_identifier(name)} IS NOT NULL ELSE "t"."?given:{name}" END'
    )


def _fits(field: SchemaField) -> str:
    return f'coalesce(length("t".{quote_identifier(field.name)}) <= {field.max_length}, true)'


def _condition(field: SchemaField, kind: str, condition: str, message: str) -> Condition:
    return Condition(
        rule_id=f"schema:{field.name}:{kind}",
        rule_version=1,
        severity="blocking",
        holds=condition,
        fields=(field.name,),
        message=message_sql(message, [field.name]),
    )
