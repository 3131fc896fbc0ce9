"""SQL is constant text with parameters, except where a reason stands below (S9)."""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.architecture.source import Module, calls, dotted, functions, modules, place, product

# Where SQL for the data engine is composed: DuckDB in memory over sealed files, no tenant's tables, no PostgreSQL.
# Identifiers and texts pass through quote_identifier and quote_literal; `test_holes_are_never_inside_quotes` sees to it.
DATA_ENGINE = (
    "libs/expressions/",
    "services/runner/artifacts/",
    "services/runner/engines/",
    "services/runner/sources/csv_file.py",
    "services/runner/records/files.py",
    "services/validator/aggregates.py",
    "services/validator/datasets.py",
    "services/validator/history.py",
    "services/validator/plan.py",
    "services/validator/queries.py",
    "services/validator/jail/",
)
# Everything else that composes SQL: file and function → why that is safe.
REVIEWED = {
    ("libs/common/http/pages.py", "page_of"): "the text of `_page_sql`",
    ("libs/common/http/pages.py", "_page_sql"): "compiled Core text, names of our own columns, placeholders by number",
    ("libs/common/database/transaction.py", "Transaction.begin"): "SET LOCAL takes no parameter; the value is a UUID's own text",
    ("libs/common/database/transaction.py", "Transaction.become"): "the same",
    ("libs/common/database/transaction.py", "Transaction.rows"): "the text that SQLAlchemy Core compiled, with its parameters",
    ("libs/common/database/transaction.py", "Transaction.row"): "the same",
    ("libs/common/database/transaction.py", "Transaction.value"): "the same",
    ("libs/common/database/transaction.py", "Transaction.execute"): "the same",
    ("libs/common/crypto/holdings.py", "in_use"): "the constant text of a Holding",
    ("libs/common/crypto/holdings.py", "rewrap_batch"): "the same",
    ("libs/common/crypto/holdings.py", "_replace"): "the same",
    ("libs/common/crypto/resealing.py", "left"): "the constant text of a SealedColumn",
    ("libs/common/crypto/resealing.py", "reseal"): "the same",
    ("libs/common/migrations/runner.py", "provision"): "a roles.sql of the repository; role names and passwords quoted by PostgreSQL's format()",
    ("libs/common/migrations/runner.py", "_apply"): "a migration file of the repository",
    ("services/runner/sources/query.py", "_describe"): "the tenant's own query against the tenant's own source, after the statement guard",
    ("services/runner/sources/query.py", "_copy"): "the same, its columns quoted",
    ("services/runner/sources/query.py", "_send"): "the same",
    ("deploy/local/database.py", "_close_to_others"): "statements that PostgreSQL's format() quoted",
}  # fmt: skip
_RUNS = {
    "execute", "executemany", "fetch", "fetchrow", "fetchval", "fetchmany", "cursor", "prepare", "copy_from_query",
}  # fmt: skip
_CONNECTIONS = ("connection", "session", "conn", "lock", "pool")
_VERB = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|COPY|CREATE|ALTER|DROP|TRUNCATE|SET|BEGIN|WITH|GRANT|REVOKE|DECLARE|LOCK|CALL)\s"
)


def in_data_engine(module: Module) -> bool:
    """Say whether a module composes SQL for the data engine only."""
    return module.path.startswith(DATA_ENGINE)


def composed(module: Module) -> Iterator[int]:
    """Yield the lines where a module composes SQL, or runs SQL that is not a constant."""
    constants = _constants(module.tree)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.expr) and (built := _built(node)) is not None and _VERB.match(built):
            if not _is_constant(node, constants):
                yield node.lineno
        elif isinstance(node, ast.Call) and _runs_sql(node) and not _is_constant(node.args[0], constants):
            yield node.lineno


def _constants(tree: ast.Module) -> set[str]:
    """Return the module's names whose text stands in the file, put together from such names or not."""
    found: set[str] = set()
    for node in tree.body:
        for name, value in _assigned(node):
            if _is_constant(value, found):
                found.add(name)
    return found


def _assigned(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign):
        yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = zip(target.elts, node.value.elts, strict=False)
                yield from ((name.id, value) for name, value in pairs if isinstance(name, ast.Name))
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
        yield node.target.id, node.value


def _is_constant(value: ast.expr, constants: set[str]) -> bool:
    if isinstance(value, ast.Constant):
        return isinstance(value.value, str)
    if isinstance(value, ast.IfExp):
        return _is_constant(value.body, constants) and _is_constant(value.orelse, constants)
    if isinstance(value, ast.JoinedStr):
        holes = [part.value for part in value.values if isinstance(part, ast.FormattedValue)]
        return all(_is_constant(hole, constants) for hole in holes)
    return isinstance(value, ast.Name) and value.id in constants


def _runs_sql(call: ast.Call) -> bool:
    if not (isinstance(call.func, ast.Attribute) and call.func.attr in _RUNS and call.args):
        return False
    receiver = dotted(call.func.value).rsplit(".", 1)[-1].lstrip("_")
    return receiver.endswith(_CONNECTIONS)


def _built(node: ast.AST) -> str | None:
    """Return the first literal part of a text that is put together from parts, else None."""
    if isinstance(node, ast.JoinedStr) and any(isinstance(part, ast.FormattedValue) for part in node.values):
        return _literal(node.values[0])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return _literal(node.left)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("format", "join"):
        return _literal(node.func.value)
    return None


def _literal(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@cache
def offences() -> dict[tuple[str, str], int]:
    """Return where SQL is composed outside the data engine: file and function → line."""
    return {
        (module.path, place(module, line)): line
        for module in product()
        if not in_data_engine(module)
        for line in composed(module)
    }


def test_no_sql_is_composed_outside_reviewed_places() -> None:
    """S9: every statement that PostgreSQL gets is constant text with parameters, or stands on the list with its reason."""
    assert {
        f"{path}:{line} in {name}" for (path, name), line in offences().items() if (path, name) not in REVIEWED
    } == set()


def test_no_review_outlives_its_place() -> None:
    """A place that composes no SQL any more leaves the list."""
    assert set(REVIEWED) - set(offences()) == set()


def test_the_data_engines_places_exist() -> None:
    """A file or folder that composes no SQL for the data engine any more leaves the list."""
    paths = [module.path for module in product()]
    assert [place for place in DATA_ENGINE if not any(path.startswith(place) for path in paths)] == []


def test_sqlalchemy_text_is_not_used() -> None:
    """SQLAlchemy's `text()` and `literal_column()` would let composed SQL in through Core."""
    used = [
        f"{module.path}:{node.lineno}"
        for module in product()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("sqlalchemy")
        and {alias.name for alias in node.names} & {"text", "literal_column", "TextClause"}
    ]
    assert used == []


def test_the_data_engine_reaches_no_database_of_ours() -> None:
    """Modules that compose SQL for the data engine know neither our connections nor our transactions."""
    reaching = [
        f"{module.path}:{node.lineno} imports {name}"
        for module in product()
        if in_data_engine(module)
        for node in ast.walk(module.tree)
        for name in _imports(node)
        if name.startswith(("libs.common.database", "asyncpg", "sqlalchemy"))
    ]
    assert reaching == []


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


# A hole inside quotes, and why no quote can be in it.
_QUOTED = {
    ("libs/common/database/transaction.py", "UUID(str(self.tenant_id))"): "a UUID's own text",
    ("libs/common/database/transaction.py", "UUID(str(context.tenant_id))"): "the same",
    ("libs/expressions/columns.py", "pattern"): "one of the patterns of the same package",
    ("libs/expressions/numbers.py", "_plain(unscaled, scale)"): "digits, sign and point of an integer",
    ("libs/expressions/numbers.py", "Decimal(str(value.constant))"): "a decimal's own text",
}  # fmt: skip


def test_holes_are_never_inside_quotes() -> None:
    """S9: an interpolated value is quoted by the helper, never by quotes written around it; numbers and constants may."""
    found = {
        (module.path, ast.unparse(hole))
        for module in modules("libs", "services")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.JoinedStr) and _looks_like_sql(node)
        for hole in _quoted_holes(node)
        if not _harmless(hole)
    }
    assert found == set(_QUOTED)


def _quoted_holes(node: ast.JoinedStr) -> Iterator[ast.expr]:
    before = ""
    for part in node.values:
        if isinstance(part, ast.FormattedValue) and before.endswith(("'", '"')) and before.count(before[-1]) % 2:
            yield part.value
        before += _literal(part) or ""


def _looks_like_sql(node: ast.JoinedStr) -> bool:
    literal = " ".join(text for part in node.values if (text := _literal(part)))
    return bool(re.search(r"\b(SELECT|FROM|COPY|CREATE|INSERT|UPDATE|SET|CASE WHEN|CAST)\b", literal))


def _harmless(value: ast.expr) -> bool:
    if isinstance(value, ast.Name):
        return value.id.isupper()
    return isinstance(value, ast.Call) and dotted(value.func) in ("int", "quote_literal", "quote_identifier")


_HOSTILE = {
    "f-string": 'async def f(connection, name):\n    await connection.fetch(f"SELECT * FROM {name}")\n',
    "plus": 'async def f(connection, name):\n    await connection.fetch("SELECT * FROM " + name)\n',
    "percent": 'async def f(tx, name):\n    await tx.connection.execute("SET x = %s" % name)\n',
    "format": 'async def f(connection, name):\n    await connection.execute("DELETE FROM {}".format(name))\n',
    "variable": "async def f(connection, name):\n    sql = make(name)\n    await connection.fetchrow(sql)\n",
    "module": 'import x\n_SQL = f"SELECT {x.y}"\nasync def f(connection):\n    await connection.fetchval(_SQL)\n',
}


@pytest.mark.parametrize("text", _HOSTILE.values(), ids=_HOSTILE.keys())
def test_the_rule_finds_each_way_of_composing(text: str) -> None:
    """The rule is worth something: each way of building a statement from parts is found."""
    assert list(composed(Module("services/x/y.py", text, ast.parse(text))))


def test_the_rule_leaves_constants_alone() -> None:
    """A constant with parameters is what everybody should write."""
    text = '_SQL = "SELECT 1 WHERE x = $1"\nasync def f(connection, x):\n    await connection.fetch(_SQL, x)\n'
    assert list(composed(Module("services/x/y.py", text, ast.parse(text)))) == []


def test_functions_are_found_by_their_qualified_name() -> None:
    """The list above names functions as the reader would."""
    text = "class A:\n    def b(self):\n        def c():\n            pass\n"
    module = Module("x.py", text, ast.parse(text))
    assert [name for name, _ in functions(module)] == ["A.b", "A.b.c"]
    assert place(module, 4) == "A.b.c"
    assert [dotted(call.func) for call in calls(ast.parse("a.b.c(1)"))] == ["a.b.c"]
