"""What a query of known nodes may name: declared tables, their columns, listed functions and types."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from libs.common.nearest import nearest_name
from libs.expressions.sql import names
from libs.expressions.sql.aliases import constant_names, expanded_size, reads_column
from libs.expressions.sql.engine import Tables
from libs.expressions.sql.patterns import PATTERNS
from libs.expressions.sql.slips import CLOCKS, ELSEWHERE
from libs.expressions.sql.tree import Node, refused

MAX_EXPANDED = 1600
"""Twice as many parts as a query may have."""
MAX_JOINS = 4
MAX_TABLES = 12
MAX_CTES = 8
MAX_WINDOWS = 20
MAX_GROUPINGS = 64
MAX_PATTERNS = 20
MAX_PAD = 1000
_PADS = frozenset({"lpad", "rpad"})
GROWING = frozenset({"concat_ws", "regexp_replace", "replace"})
"""Functions whose text can be many times what they are given: of literals alone, the binder would work it out at once."""
_LITERALS = frozenset({"INTEGER", "NUMERIC", "STRING", "BOOLEAN", "NULL_LITERAL"})
_JOINS = frozenset({"INNER", "LEFT", "RIGHT", "FULL", "SEMI", "ANTI"})


@dataclass(slots=True)
class Known:
    """Every name that a query brings along or may use, in lower case."""

    tables: set[str]
    columns: set[str]
    ctes: set[str] = field(default_factory=set)
    relations: set[str] = field(default_factory=set)
    constants: frozenset[str] = frozenset()
    collectors: frozenset[str] = frozenset()
    listed: frozenset[int] = frozenset()

    @classmethod
    def of(cls, nodes: Sequence[Node], tables: Tables) -> "Known":
        """Gather the names that are declared and those that the query itself gives."""
        known = cls({name.lower() for name in tables}, {column.lower() for one in tables.values() for column in one})
        for node in nodes:
            known._learn(node)
        known.constants = constant_names(nodes)
        known.listed = frozenset(id(item) for node in nodes for item in node.get("select_list", ()))
        return known

    def _learn(self, node: Node) -> None:
        alias = node.get("alias", "").lower()
        (self.columns if "class" in node else self.relations).add(alias)
        self.columns |= {name.lower() for name in node.get("column_name_alias", ())}
        if node["type"] == "BASE_TABLE":
            self.relations.add(node["table_name"].lower())
        for entry in node.get("cte_map", {}).get("map", ()):
            self.ctes.add(entry["key"].lower())
            self.columns |= {name.lower() for name in entry["value"].get("aliases", ())}
        self.columns |= {str(entry["value"]).lower() for entry in node.get("rename_list", ())}
        self.columns |= {str(entry["key"]).lower() for entry in node.get("replace_list", ())}


def check_meaning(nodes: Sequence[Node], tables: Tables, text: str, *, collecting: bool = False) -> None:
    """Refuse whatever names something that the query may not use, and more joins and tables than it may have."""
    known = Known.of(nodes, tables)
    known.collectors = names.COLLECTORS if collecting else frozenset()
    _check_sizes(nodes, known, text)
    checks: Mapping[str, Callable[[Node, Known, str], None]] = {
        "COLUMN_REF": _column, "CONSTANT": _constant, "FUNCTION": _function, "WINDOW": _window, "TYPE": _type,
        "OPERATOR": _operator, "BASE_TABLE": _table, "JOIN": _join, "LIMIT_MODIFIER": _limit, "STAR": _star,
    }  # fmt: skip
    for node in nodes:
        _names(node, text)
        check = checks.get(str(node.get("class", node["type"])))
        if check is not None:
            check(node, known, text)


def _check_sizes(nodes: Sequence[Node], known: Known, text: str) -> None:
    tables = [node for node in nodes if node["type"] == "BASE_TABLE"]
    joins = [node for node in nodes if node["type"] == "JOIN"]
    windows = [node for node in nodes if node.get("class") == "WINDOW"]
    if len(windows) > MAX_WINDOWS:
        raise refused("size", f"it has more than {MAX_WINDOWS} windows", windows[MAX_WINDOWS], text, expected="fewer")
    patterns = [node for node in nodes if node.get("function_name") in PATTERNS]
    if len(patterns) > MAX_PATTERNS:
        raise refused(
            "size", f"it has more than {MAX_PATTERNS} patterns", patterns[MAX_PATTERNS], text, expected="fewer"
        )
    if len(joins) > MAX_JOINS:
        raise refused("join", f"it has more than {MAX_JOINS} joins", joins[MAX_JOINS], text, expected="fewer joins")
    if len(tables) > MAX_TABLES:
        raise refused(
            "size", f"it reads tables in more than {MAX_TABLES} places", tables[MAX_TABLES], text, expected="fewer"
        )
    if sum(len(node.get("group_sets", ())) for node in nodes) > MAX_GROUPINGS:  # the binder's time and memory
        raise refused(
            "size", f"it groups in more than {MAX_GROUPINGS} ways", nodes[0], text, expected="fewer groupings"
        )
    if sum(expanded_size(node) for node in nodes if node["type"] == "SELECT_NODE") > MAX_EXPANDED:
        raise refused("size", "its names stand for too much", nodes[0], text, expected="names that are used less often")
    if len(known.ctes) > MAX_CTES:
        raise refused("size", f"it has more than {MAX_CTES} named queries", nodes[0], text, expected="fewer")
    hidden = known.ctes & known.tables
    if hidden:
        raise refused("table", f"{min(hidden)!r} is a table already", nodes[0], text, expected="another name")


def _names(node: Node, text: str) -> None:
    given = [node.get("alias", ""), *node.get("column_name_alias", ())]
    given += [entry["key"] for entry in node.get("cte_map", {}).get("map", ())]
    for name in given:
        if str(name).lower() in names.VALUE_WORDS:
            raise refused("column", f"{name!r} is a word of the engine", node, text, expected="another name")


def _column(node: Node, known: Known, text: str) -> None:
    path = [name.lower() for name in node["column_names"]]
    if len(path) > 2:  # noqa: PLR2004 - a table and a column
        raise refused("column", "a column has one table at most before it", node, text, expected="table.column")
    if path[-1] not in known.columns:
        raise _unknown_column(path[-1], known, node, text)
    if len(path) > 1 and path[0] not in known.relations:
        raise _unknown_table(path[0], known.relations, node, text)


def _unknown_column(name: str, known: Known, node: Node, text: str) -> Exception:
    near = None if name in CLOCKS else nearest_name(name, known.columns - {""})
    wanted = "a column of the tables" if near else "a column of the tables, or a text in single quotes"
    wanted = "business_date or as_of of the table run" if name in CLOCKS else wanted
    return refused("column", f"unknown column {name[:80]!r}", node, text, expected=wanted, nearest=near)


def _unknown_table(name: str, known: Iterable[str], node: Node, text: str) -> Exception:
    near = nearest_name(name, set(known) - {""})
    return refused("table", f"unknown table {name[:80]!r}", node, text, expected="a declared table", nearest=near)


def _constant(node: Node, _known: Known, text: str) -> None:
    if node["literal"]["kind"] not in _LITERALS:
        raise refused("value", "only numbers, texts, true, false and null are literals here", node, text)


def _function(node: Node, known: Known, text: str) -> None:
    name = _called(node, names.FUNCTIONS | known.collectors, text)
    arguments = [one["expression"] for one in node.get("arguments", ())]
    if name in known.collectors and [one.get("column_names", [""])[-1] for one in arguments] != ["_ordinal"]:
        raise refused("value", f"{name} collects records only", node, text, expected=f"{name}(_ordinal)")
    if name in GROWING and not reads_column(arguments, known.constants):
        raise refused("value", f"{name} of literals alone cannot be used", node, text, expected="a column in it")
    if name in _PADS:
        width = _literal(arguments[1], "INTEGER") if len(arguments) > 1 else None
        if width is None or len(width) > 4 or int(width.replace("_", "")) > MAX_PAD:  # noqa: PLR2004 - digits of MAX_PAD
            raise refused("value", f"{name} takes a literal width", node, text, expected=f"at most {MAX_PAD}")


def _literal(node: Node, kind: str) -> str | None:
    literal = node.get("literal") if node.get("class") == "CONSTANT" else None
    return str(literal["text"]) if literal and literal["kind"] == kind else None


def _window(node: Node, _known: Known, text: str) -> None:
    _called(node, names.WINDOWS | names.AGGREGATES, text)


def _called(node: Node, allowed: frozenset[str], text: str) -> str:
    name = str(node["function_name"]).lower()
    path = node.get("qualified_name", {}).get("path")
    if path is not None and path != [node["function_name"]]:
        raise refused("function", "a function has no schema before it", node, text, expected="its name alone")
    if name not in allowed:
        near = None if name in CLOCKS else _function_meant(name, allowed)
        wanted = "as_of or business_date of the table run" if name in CLOCKS else "a function of the list"
        wanted = "OVER (...) after it" if name in names.WINDOWS else wanted
        raise refused(
            "function", f"the function {name[:80]!r} cannot be used", node, text, expected=wanted, nearest=near
        )
    return name


def _function_meant(name: str, allowed: Iterable[str]) -> str | None:
    known = [one for one in allowed if one[:1].isalpha()]
    return ELSEWHERE.get(name) or nearest_name(name, known)


def _type(node: Node, _known: Known, text: str) -> None:
    name = str(node["type_name"]).lower()
    path = node.get("qualified_name", {}).get("path")
    plain = all(_literal(child, "INTEGER") for child in node.get("children", ()))
    if name not in names.TYPES or not plain or (path is not None and path != [node["type_name"]]):
        raise refused(
            "type", f"the type {name[:80]!r} cannot be used", node, text,
            expected="a plain type", nearest=nearest_name(name, names.TYPES),
        )  # fmt: skip


def _operator(node: Node, _known: Known, text: str) -> None:
    if node["type"] not in names.OPERATOR_NODES:
        word = str(node["type"]).lower().removeprefix("operator_").replace("_", " ")
        raise refused("shape", f"{word} cannot be used here", node, text, expected="a plain operator")


def _table(node: Node, known: Known, text: str) -> None:
    name = str(node["table_name"])
    path = node.get("qualified_name", {}).get("path")
    if path is not None and path != [name]:
        raise refused("table", "a table has no schema before it", node, text, expected="its name alone")
    if name.lower() not in known.tables | known.ctes:
        raise _unknown_table(name, known.tables | known.ctes, node, text)


def _join(node: Node, _known: Known, text: str) -> None:
    if node["ref_type"] != "REGULAR" or node["join_type"] not in _JOINS:
        kind = node["ref_type"] if node["ref_type"] != "REGULAR" else node["join_type"]
        raise refused("join", f"a {str(kind).lower()} join cannot be used", node, text, expected="JOIN ... ON or USING")
    if not node.get("using_columns") and not _compares(node.get("condition")):
        raise refused("join", "the join compares no columns", node, text, expected="ON a.x = b.y, or USING (x)")


def _compares(condition: object) -> bool:
    """Say whether a condition compares one column with another somewhere, outside of OR."""
    if not isinstance(condition, dict):
        return False
    if condition.get("type") == "CONJUNCTION_AND":
        return any(_compares(part) for part in condition["children"])
    if condition.get("type") == "CONJUNCTION_OR":
        return all(_compares(part) for part in condition["children"])
    if condition.get("class") == "COMPARISON":
        return reads_column(condition["left"]) and reads_column(condition["right"])
    if condition.get("class") == "BETWEEN":
        return reads_column(condition["input"]) and (
            reads_column(condition["lower"]) or reads_column(condition["upper"])
        )
    return False


def _limit(node: Node, _known: Known, text: str) -> None:
    for name in ("limit", "offset"):
        value = node.get(name)
        if value is not None and _literal(value, "INTEGER") is None:
            raise refused("value", f"{name} takes a number", value, text, expected="a whole number")
    if node.get("limit_type", "ROW_COUNT") != "ROW_COUNT":
        raise refused("value", "a limit in percent cannot be used", node, text, expected="a whole number")


def _star(node: Node, known: Known, text: str) -> None:
    if id(node) not in known.listed:  # `* LIKE 'a%'` is all columns called so, which nobody would count
        raise refused("shape", "a star cannot be used here", node, text, expected="a star of its own, or columns")
    name = str(node.get("relation_name", "")).lower()
    if name and name not in known.relations:
        raise _unknown_table(name, known.relations, node, text)
