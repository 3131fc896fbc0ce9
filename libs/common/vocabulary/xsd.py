from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from libs.common.misfits import MisfitError
from libs.common.vocabulary.base import Strict

FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.xsd$")]


class XsdFile(Strict):
    """One XML Schema document, as text."""

    name: FileName
    content: str = Field(min_length=1, max_length=4_000_000)


class XsdSetSpec(Strict):
    """The XML Schemas that a rendered document is checked against, all loaded together.

    An envelope with `xs:any` and strict processing needs the schema of each namespace it may hold in the set.
    """

    files: tuple[XsdFile, ...] = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [file.name for file in self.files]
        for place, name in enumerate(names):
            if name in names[:place]:
                told = "two files have the same name"
                raise MisfitError(told, "files", place, "name", expected="another name")
        return self
