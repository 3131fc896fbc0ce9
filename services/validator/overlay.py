"""Amendments as the jail lays them over a dataset: pure, from definitions to SQL."""

from collections.abc import Mapping, Sequence

from libs.common.vocabulary.base import Strict
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.expressions import business_key, typed_columns
from services.validator.reading import source_text


class OverlaidField(Strict):
    """A field that amendments change: SQL of its text over the data `r`, and of a text's typed value over `"r"."field"`."""

    field: str
    text: str
    typed: str


class Overlay(Strict):
    """How amendments find their records (SQL of the business key over `r`), and the fields that they change."""

    key: str
    fields: tuple[OverlaidField, ...]


def overlay_of(
    schema: SchemaSpec, column_types: Mapping[str, str], key: Sequence[str], fields: Sequence[str]
) -> Overlay:
    """Return the overlay of some fields of a dataset.

    Raises:
        KeyError: the schema has no such field.
    """
    known = {field.name: field for field in schema.fields}
    overlaid = (_overlaid(known[name], column_types[name]) for name in fields)
    return Overlay(key=business_key(schema, key, column_types), fields=tuple(overlaid))


def _overlaid(field: SchemaField, physical: str) -> OverlaidField:
    (typed,) = typed_columns(SchemaSpec(fields=(field,)), {field.name: "VARCHAR"})
    return OverlaidField(field=field.name, text=source_text(field.name, physical), typed=typed.sql)
