"""Write the documents that are made from the code: `python -m docs.generate`, or `make docs`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.asyncapi import event_document
from docs.configuration import configuration_page
from docs.openapi import http_document
from docs.reference import reference_page
from libs.expressions.reference import with_functions

ROOT = Path(__file__).parents[1]


def documents() -> Iterator[tuple[str, str]]:
    """Yield path and text of every generated document; the same code gives the same bytes."""
    described = http_document()
    yield "docs/api/openapi.json", _json(described)
    yield "docs/api/index.html", reference_page(described)
    yield "docs/api/asyncapi.json", _json(event_document())
    yield "docs/configuration.md", configuration_page()
    yield "docs/expressions.md", with_functions((ROOT / "docs/expressions.md").read_text(encoding="utf-8"))


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write them all."""
    for path, text in documents():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
