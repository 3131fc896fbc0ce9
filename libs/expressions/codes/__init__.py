"""Code lists as data files, written by generate.py."""

import csv
from functools import cache
from importlib import resources


@cache
def codes(name: str) -> tuple[str, ...]:
    """Return the codes of a list (`country`, `currency`, `mic`), sorted; capitals and digits only."""
    text = resources.files(__name__).joinpath(f"{name}.csv").read_text(encoding="utf-8")
    return tuple(row["code"] for row in csv.DictReader(text.splitlines()))
