"""Reading a source and making a draft of what it holds, with one engine."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from services.runner.artifacts.render import render
from services.runner.engines.drafts import LARGEST, Draft, DraftRequest, Extracted
from services.runner.engines.duck import Budget, sharing_duckdb
from services.runner.engines.errors import DataPathError
from services.runner.engines.sealing import Extract
from services.runner.engines.transform import run_transform
from services.runner.records.files import write_mapping

Read = Callable[[Any, Sequence[int]], Extract]


def drafting(read: Read) -> Callable[[Any, Sequence[int]], Extracted]:
    """Return a reader of sources that also makes the draft which its request asks for."""

    def read_and_draft(request: Any, descriptors: Sequence[int]) -> Extracted:
        draft: DraftRequest | None = request.draft
        if draft is None:
            return Extracted(**read(request, descriptors).model_dump())
        source = Path(f"/proc/self/fd/{descriptors[0]}")
        with sharing_duckdb(request.target.parent, [source, *draft.folders], Budget(draft.transform.memory, threads=1)):
            extract = read(request, descriptors)
            return Extracted(**extract.model_dump(), draft=_draft(draft, extract) if extract.size <= LARGEST else None)

    return read_and_draft


def _draft(request: DraftRequest, extract: Extract) -> Draft | None:
    """Make the draft; what goes wrong with it is found, and said, at its step."""
    try:
        for mapping in request.mappings:
            write_mapping(mapping)
        transform = request.transform.model_copy(update={"column_types": extract.column_types})
        transformed = run_transform(transform)
        artifacts = () if transformed.unfit else tuple(render(artifact) for artifact in request.artifacts)
    except DataPathError:
        return None
    return Draft(transformed=transformed, artifacts=artifacts)
