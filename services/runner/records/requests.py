"""What children are told about record files, and what they answer."""

from datetime import date
from pathlib import Path
from typing import Any

from libs.common.vocabulary.base import Strict
from libs.common.vocabulary.mappings import MappingSpec


class NotOutRequest(Strict):
    """Write every record that is not out to `target`, from the sealed files that say so; None: nothing happened."""

    failures: Path | None = None
    dispositions: Path | None = None
    faults: Path | None = None
    output_failures: Path | None = None
    target: Path

    @property
    def files(self) -> list[Path]:
        """The files that exist."""
        named = (self.failures, self.dispositions, self.faults, self.output_failures)
        return [path for path in named if path is not None]


class FindRequest(Strict):
    """Find the rows of a business key: in the file of what is not out, and in the transformed records."""

    key: str
    dropped: Path | None = None
    transformed: Path


class Found(Strict):
    """Rows of a key: those that are not out, whole, and the ordinals of those in the transformed records."""

    dropped: list[dict[str, Any]]
    transformed: list[int]


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
