"""How many columns a query makes on its way: a star is all of its tables', and the engine's binder makes each of them."""

from collections.abc import Iterator, Mapping
from typing import Any

from libs.expressions.sql.tree import Node

Widths = Mapping[str, int]
"""Columns by the name of a table or of a named query, in small letters."""


def columns_made(statement: Node, tables: Widths) -> int:
    """Return how many columns all SELECTs of a statement have together, those below other ones included."""
    made: list[int] = []
    _width(statement["node"], tables, made)
    return sum(made)


def _width(node: Node, known: Widths, made: list[int]) -> int:
    """Return how many columns a query gives; add what each of its SELECTs has to `made`."""
    known = dict(known)
    for entry in node.get("cte_map", {}).get("map", ()):
        known[entry["key"].lower()] = _width(entry["value"]["query_node"], known, made)
    if node["type"] != "SELECT_NODE":
        return max((_width(part, known, made) for part in _children(node)), default=0)
    source = _source(node["from_table"], known, made)
    width = sum(source if item.get("class") == "STAR" else 1 for item in node["select_list"])
    for part in (part for name, part in node.items() if name not in ("cte_map", "from_table")):
        _look_below(part, known, made)
    made.append(width)
    return width


def _children(node: Node) -> Iterator[Node]:
    yield from (node[side] for side in ("left", "right") if node.get(side))
    yield from node.get("children", ())


def _source(table: Node, known: Widths, made: list[int]) -> int:
    kind = table["type"]
    if kind == "JOIN":
        _look_below(table.get("condition"), known, made)
        return sum(_source(table[side], known, made) for side in ("left", "right"))
    if kind == "SUBQUERY":
        return _width(table["subquery"]["node"], known, made)
    if kind == "EXPRESSION_LIST":
        _look_below(table["values"], known, made)
        return max((len(row) for row in table["values"]), default=0)
    return known.get(str(table.get("table_name", "")).lower(), 0)


def _look_below(part: Any, known: Widths, made: list[int]) -> None:
    """Count the queries that stand within expressions."""
    if isinstance(part, list):
        for one in part:
            _look_below(one, known, made)
    elif isinstance(part, dict):
        if part.get("class") == "SUBQUERY":
            _width(part["subquery"]["node"], known, made)
        for name, one in part.items():
            if name != "subquery":
                _look_below(one, known, made)
