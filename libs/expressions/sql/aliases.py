"""Names that a query gives to expressions: beside them, the engine's binder reads such a name as what it stands for.

So the binder may see far more than the text holds, and what is made of literals alone it works out at once, before
anything is executed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from libs.expressions.sql.tree import Node


def reads_column(node: object, constants: Collection[str] = ()) -> bool:
    """Say whether a part of a query reads a column, other than one of the names that stand for constants."""
    return any(not _is_constant(reference, constants) for reference in _references(node))


def constant_names(nodes: Sequence[Node]) -> frozenset[str]:
    """Return the names that a query gives to constants."""
    named = [(str(node["alias"]).lower(), node) for node in nodes if "class" in node and node.get("alias")]
    found: set[str] = set()
    while more := {name for name, node in named if not reads_column(node, found)} - found:
        found |= more
    return frozenset(found)


def expanded_size(select: Node) -> int:
    """Return how many parts a SELECT has when each name in it is replaced by what it stands for."""
    sizes: dict[str, int] = {}
    total = 0
    for item in select["select_list"]:
        size = _size(item, sizes)
        name = str(item.get("alias", "")).lower()
        sizes[name] = max(size, sizes.get(name, 1))
        total += size
    return total + sum(_size(select.get(part), sizes) for part in _BESIDE)


_BESIDE = ("where_clause", "group_expressions", "having", "qualify", "modifiers")
"""Parts of a SELECT that may use the names of its list."""


def _size(part: Any, sizes: Mapping[str, int]) -> int:
    if isinstance(part, list):
        return sum(_size(one, sizes) for one in part)
    if not isinstance(part, dict):
        return 0
    if part.get("class") == "COLUMN_REF":
        return sizes.get(part["column_names"][-1].lower(), 1)
    return ("type" in part) + sum(_size(one, sizes) for one in part.values())


def _is_constant(reference: Node, constants: Collection[str]) -> bool:
    path = [name.lower() for name in reference["column_names"]]
    return path[-1] in constants and (len(path) == 1 or path[0] == "alias")


def _references(node: object) -> Iterator[Node]:
    if isinstance(node, list):
        for part in node:
            yield from _references(part)
    elif isinstance(node, dict):
        if node.get("class") == "COLUMN_REF":
            yield node
        for part in node.values():
            yield from _references(part)
