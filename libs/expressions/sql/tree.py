"""The allow-list over the engine's own parse tree: every kind of node, and every part of it, is known or refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from libs.expressions.sql.errors import SqlError, position
from libs.expressions.sql.slips import place_of

MAX_NODES = 800
MAX_DEPTH = 60

Node = dict[str, Any]

_ALWAYS = frozenset({"class", "type", "alias", "query_location", "query_location_length"})
_NOWHERE = 2**63


@dataclass(frozen=True, slots=True)
class Shape:
    """The parts of a kind of node: those that are looked into, and those whose value is a plain word, name or number.

    Every other part must be empty.
    """

    inside: frozenset[str]
    plain: frozenset[str]


def _shape(inside: str = "", plain: str = "") -> Shape:
    return Shape(frozenset(inside.split()), frozenset(plain.split()))


EXPRESSIONS = {
    "BETWEEN": _shape("input lower upper"),
    "CASE": _shape("case_checks else_expr"),
    "CAST": _shape("child type_expr", "try_cast"),
    "COLUMN_REF": _shape("", "column_names"),
    "COMPARISON": _shape("left right"),
    "CONJUNCTION": _shape("children"),
    "CONSTANT": _shape("", "literal"),
    "FUNCTION": _shape("arguments filter order_bys", "function_name distinct is_operator qualified_name"),
    "OPERATOR": _shape("children"),
    "STAR": _shape("replace_list rename_list", "relation_name exclude_list"),
    "SUBQUERY": _shape("child subquery", "subquery_type comparison_type"),
    "TYPE": _shape("children", "type_name qualified_name"),
    "WINDOW": _shape(
        "partitions orders start_expr end_expr offset_expr default_expr filter_expr arg_orders arguments",
        "function_name start end exclude_clause ignore_nulls has_ignore_nulls distinct qualified_name",
    ),
}
OTHERS = {
    "SELECT_NODE": _shape(
        "modifiers cte_map select_list from_table where_clause group_expressions having qualify",
        "group_sets aggregate_handling",
    ),
    "SET_OPERATION_NODE": _shape("modifiers cte_map left right children", "setop_type setop_all"),
    "BASE_TABLE": _shape("", "table_name column_name_alias qualified_name"),
    "JOIN": _shape("left right condition", "join_type ref_type using_columns nearest_count nearest_order_type"),
    "SUBQUERY": _shape("subquery", "column_name_alias"),
    "EXPRESSION_LIST": _shape("values"),
    "EMPTY": _shape(),
    "ORDER_MODIFIER": _shape("orders"),
    "LIMIT_MODIFIER": _shape("limit offset", "limit_type"),
    "DISTINCT_MODIFIER": _shape("distinct_on_targets"),
    "ORDER_DEFAULT": _shape("expression", "null_order"),
    "ASCENDING": _shape("expression", "null_order"),
    "DESCENDING": _shape("expression", "null_order"),
}
_UNTYPED = _shape(
    "map key value expression when_expr then_expr node query_node", "aliases materialized column"
)  # argument, CTE, subquery, CASE branch, replaced and renamed columns
_CALLED = {
    "TABLE_FUNCTION": "functions after FROM",
    "PIVOT": "PIVOT and UNPIVOT",
    "SHOW_REF": "SHOW, DESCRIBE and SUMMARIZE",
    "RECURSIVE_CTE_NODE": "recursion",
    "LAMBDA": "lambda",
    "PARAMETER": "parameters",
    "DEFAULT": "DEFAULT",
    "POSITIONAL_REFERENCE": "`#` references",
    "COLLATE": "COLLATE",
}
_PARTS = {
    "sample": "samples",
    "at_clause": "AT",
    "columns": "COLUMNS",
    "expr": "COLUMNS",
    "name": "named arguments",
    "catalog": "names with a catalog",
    "catalog_name": "names with a catalog",
    "schema": "names with a schema",
    "schema_name": "names with a schema",
    "named_param_map": "parameters",
    "is_implicit": "a comma between tables",
    "key_targets": "USING KEY",
}
_INSTEAD = {
    "is_implicit": "JOIN ... ON or USING",
    "named_param_map": "a literal, or business_date or as_of of the table run",
}


def nodes_of(statement: Node, text: str) -> list[Node]:
    """Return every node of a statement in the order of the text, all of known kinds; SqlError for any other."""
    found = []
    count = 0
    for node, depth in _walk(statement):
        if depth > MAX_DEPTH:
            raise refused("size", f"it is nested deeper than {MAX_DEPTH}", node, text, expected="a flatter query")
        if "type" not in node:
            _check(node, _UNTYPED, text, node)
            continue
        count += 1
        if count > MAX_NODES:
            raise refused("size", f"it has more than {MAX_NODES} parts", node, text, expected="a shorter query")
        _check(node, _known(node, text), text, node)
        found.append(node)
    return found


def refused(
    category: Any, message: str, node: Node, text: str, *, expected: str = "", nearest: str | None = None
) -> SqlError:
    """Make the refusal that points at `node`."""
    offset = node.get("query_location", 0)
    line, column = position(text, offset if isinstance(offset, int) and offset < _NOWHERE else 0)
    return SqlError(category, message, line=line, column=column, expected=expected, nearest=nearest)


def _walk(statement: Node) -> Iterator[tuple[Node, int]]:
    pending: list[tuple[Any, int]] = [(statement, 0)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, list):
            pending.extend((part, depth) for part in reversed(item))
        elif isinstance(item, dict):
            yield item, depth
            shape = _shape_of(item)
            pending.extend((item[name], depth + 1) for name in reversed(item) if shape is None or name in shape.inside)


def _shape_of(node: Node) -> Shape | None:
    if "type" not in node:
        return _UNTYPED
    return EXPRESSIONS.get(node["class"]) if "class" in node else OTHERS.get(node["type"])


def _known(node: Node, text: str) -> Shape:
    shape = _shape_of(node)
    if shape is None:
        kind = str(node.get("class") or node["type"])
        what = _CALLED.get(kind) or _CALLED.get(str(node["type"])) or kind.lower().replace("_", " ")
        placed = node if 0 < node.get("query_location", 0) < _NOWHERE else {"query_location": _searched(kind, text)}
        raise refused("shape", f"{what} cannot be used here", placed, text, expected="a plain query")
    return shape


def _searched(kind: str, text: str) -> int:
    """Return where a part stands that the engine gives no place, in bytes: by the word or sign that makes it."""
    words = ("?", "$") if kind == "PARAMETER" else (kind.partition("_")[0].lower(),)
    return len(text[: max(place_of(text, word) for word in words)].encode())


def _check(node: Node, shape: Shape, text: str, at: Node) -> None:
    for name, value in node.items():
        if name in _ALWAYS or name in shape.inside or name in shape.plain or _idle(value):
            continue
        what = _PARTS.get(name, name.replace("_", " "))
        wanted = _INSTEAD.get(name, "a plain query")
        placed = {"query_location": _searched("PARAMETER", text)} if name == "named_param_map" else at
        raise refused("shape", f"{what} cannot be used here", placed, text, expected=wanted)


def _idle(value: Any) -> bool:
    return value is None or value is False or value in ("", [], {}, {"map": []})
