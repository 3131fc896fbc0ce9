"""The table of functions in the language's reference page; `docs.generate` writes it."""

import re

from libs.expressions.functions import FUNCTIONS

_PLACE = re.compile(r"(<!-- functions -->\n).*(<!-- /functions -->)", re.DOTALL)


def functions_table() -> str:
    """Return the table of all functions as Markdown, by topic, in the order of their declaration."""
    groups = dict.fromkeys(function.group for function in FUNCTIONS.values())
    return "\n".join(_group(name) for name in groups)


def with_functions(page: str) -> str:
    """Return the page with the table of functions between its two marks."""
    return _PLACE.sub(lambda found: f"{found[1]}\n{functions_table()}\n{found[2]}", page)


def _group(name: str) -> str:
    rows = [f"| `{found.signature}` | {found.summary} |" for found in FUNCTIONS.values() if found.group == name]
    return "\n".join([f"### {name}", "", "| function | gives |", "| --- | --- |", *rows, ""])
