from typing import Literal, Self

from pydantic import Field, model_validator

from libs.common.misfits import MisfitError
from libs.common.vocabulary.base import Name, Strict, Text

FieldType = Literal["text", "integer", "decimal", "boolean", "date", "timestamp"]
"""The types a field can have. A timestamp is an instant: text without a zone does not conform."""


class SchemaField(Strict):
    """One typed field of a dataset.

    `required` makes an absent value a blocking failure of the record. `precision` and `scale` belong to decimals
    (defaults 28 and 10), `max_length` (characters) to text.
    """

    name: Name
    type: FieldType
    required: bool = False
    max_length: int | None = Field(default=None, ge=1, le=1_000_000)
    precision: int = Field(default=28, ge=1, le=38)
    scale: int = Field(default=10, ge=0, le=38)
    personal: bool = False
    description: Text = ""

    @model_validator(mode="after")
    def _scale_fits(self) -> Self:
        if self.scale > self.precision:
            told = f"scale {self.scale} is larger than precision {self.precision}"
            raise MisfitError(told, "scale", expected=f"at most {self.precision}")
        return self


class SchemaSpec(Strict):
    """A dataset's fields, in order."""

    fields: tuple[SchemaField, ...] = Field(min_length=1, max_length=500)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [field.name for field in self.fields]
        for place, name in enumerate(names):
            if name in names[:place]:
                raise MisfitError(f"fields named twice: {name}", "fields", place, "name", expected="each name once")
        return self

    def field(self, name: str) -> SchemaField | None:
        """Return the field of that name, or None."""
        return next((field for field in self.fields if field.name == name), None)
