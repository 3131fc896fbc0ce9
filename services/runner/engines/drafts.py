"""What follows a small extract, made in the child that made the extract: starting another takes longer than the work."""

from pathlib import Path

from libs.common.vocabulary.base import Strict
from services.runner.artifacts.requests import Artifact, RenderRequest
from services.runner.engines.requests import Transformed, TransformRequest
from services.runner.engines.sealing import Extract
from services.runner.records.requests import MappingRequest

LARGEST = 256 * 1024
"""The most bytes of a file, or of an extract, of which a draft is made."""


class DraftRequest(Strict):
    """What to make of an extract as if all its records were clean.

    `transform.column_types` are the extract's, whatever they are here.
    """

    mappings: tuple[MappingRequest, ...]
    transform: TransformRequest
    artifacts: tuple[RenderRequest, ...]

    @property
    def folders(self) -> list[Path]:
        """Where it is written."""
        return [self.transform.output.parent, *(artifact.target.parent for artifact in self.artifacts)]


class Draft(Strict):
    """What was made; no artifacts where the target schema does not take every record."""

    transformed: Transformed
    artifacts: tuple[Artifact, ...]


class Extracted(Extract):
    """An extract, and the draft that was asked for, if it came to one."""

    draft: Draft | None = None
