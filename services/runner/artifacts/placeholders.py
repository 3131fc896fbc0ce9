"""`{name}` in templates; `{{` and `}}` stand for braces."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from services.runner.engines.errors import RenderError

_TOKEN = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_]{0,62})\}|[{}]")


@dataclass(frozen=True, slots=True)
class Hole:
    """A place that a value goes into."""

    name: str


Part = str | Hole


def parse_parts(text: str, known: Collection[str]) -> tuple[Part, ...]:
    """Split text into literals and holes.

    Raises:
        RenderError: `template-refused` for a brace that stands alone or an unknown name.
    """
    parts: list[Part] = []
    position = 0
    for token in _TOKEN.finditer(text):
        parts.append(text[position : token.start()])
        parts.append(_part(token, known))
        position = token.end()
    parts.append(text[position:])
    return tuple(part for part in parts if part != "")


def _part(token: re.Match[str], known: Collection[str]) -> Part:
    name = token[1]
    if name is None and len(token[0]) == 1:
        raise RenderError("template-refused", f"A brace stands alone in the template: write {token[0] * 2}.")
    if name is None:
        return token[0][0]
    if name not in known:
        raise RenderError("template-refused", f"The template names {{{name}}}; known are: {', '.join(sorted(known))}.")
    return Hole(name)
