from collections.abc import Sequence

from services.runner.artifacts.requests import Artifact, RenderRequest
from services.runner.artifacts.tabular import render_csv, render_json, render_parquet
from services.runner.artifacts.xml import render_xml

_RENDERERS = {
    "csv": render_csv,
    "parquet": render_parquet,
    "json": render_json,
    "ndjson": render_json,
    "xml": render_xml,
}


def render(request: RenderRequest, _descriptors: Sequence[int] = ()) -> Artifact:
    """Write the artifact that the request's output asks for.

    Raises:
        RenderError: the definition is refused, a record is not valid, or memory or disk ran out.
    """
    return _RENDERERS[request.output.format](request)
