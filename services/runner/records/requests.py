"""What children are told about record files, and what they answer."""

from datetime import date
from pathlib import Path
from typing import Any

from pydantic import Field

from libs.common.vocabulary.base import Strict
from libs.common.vocabulary.mappings import MappingSpec


class NotOutRequest(Strict):
    """Write every record that is not out to `target`, from the sealed files that say so; None: nothing happened."""

    failures: Path | None = None
    dispositions: Path | None = None
    faults: Path | None = None
    output_failures: Path | None = None
    dropped: Path | None = None
    origins: Path | None = None
    target: Path

    @property
    def files(self) -> list[Path]:
        """The files that exist."""
        named = (self.failures, self.dispositions, self.faults, self.output_failures, self.dropped)
        found = [path for path in named if path is not None]
        return [*found, self.origins] if found and self.origins else found


class FindRequest(Strict):
    """Find the rows of a business key: in the file of what is not out, and in the transformed records.

    `origins` says which records stand behind the transformed ones, where that is not one to one. `corrections` and `failures` are the input validation's; `places` are, in order, the ordinals that a correction's
    records have in the run that it corrects, which are then the ones that are found.
    """

    key: str
    dropped: Path | None = None
    origins: Path | None = None
    transformed: Path
    corrections: Path | None = None
    failures: Path | None = None
    places: Path | None = None

    @property
    def files(self) -> list[Path]:
        """The files that exist."""
        named = (self.dropped, self.transformed, self.origins, self.corrections, self.failures, self.places)
        return [path for path in named if path is not None]


class Found(Strict):
    """Rows of a key: those that are not out, whole, and the ordinals of those in the transformed records.

    `origins` are the rows behind which records of the key stand: `_ordinal`, `_row`, and `_first`, the row's first record.
    """

    dropped: list[dict[str, Any]]
    transformed: list[int]
    origins: list[dict[str, int]] = Field(default_factory=list)
    corrected: list[dict[str, Any]] = Field(default_factory=list)
    waived: list[dict[str, Any]] = Field(default_factory=list)


class MappingRequest(Strict):
    """Write a mapping's entries that are valid on the business date to `target`."""

    mapping: MappingSpec
    business_date: date
    target: Path


class DifferencesRequest(Strict):
    """Read rows of a backtest's differences from `position` on, at most `limit`, of one difference if it is named."""

    file: Path
    position: int
    limit: int
    difference: str | None = None


class Differences(Strict):
    """Some rows of a backtest's differences."""

    rows: list[dict[str, Any]]
