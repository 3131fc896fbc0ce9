"""A look at a Python transform's text: it parses, imports what there is, and defines `transform(batches, params)`."""

import ast
import difflib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from libs.transforms.modules import ALLOWED, is_allowed

MODULE = "transform.py"
"""What the code's file is called in errors."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong with the text, at a line and a column (both from 1)."""

    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


def python_flaws(code: str) -> list[Flaw]:
    """Name what is wrong with a transform's code; an empty list says that it may be run (in the jail, nowhere else)."""
    tree = _parsed(code)
    if isinstance(tree, Flaw):
        return [tree]
    return [*_import_flaws(tree), *_function_flaws(tree)]


def _parsed(code: str) -> ast.Module | Flaw:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a doubtful escape in a text is no concern of ours
            return ast.parse(code, MODULE)
    except SyntaxError as error:
        return Flaw(error.lineno or 1, max(error.offset or 1, 1), error.msg)
    except (RecursionError, MemoryError):
        return Flaw(1, 1, "the code is nested too deeply")
    except ValueError as error:
        return Flaw(1, 1, str(error))


def _import_flaws(tree: ast.Module) -> Iterator[Flaw]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if node.level == 0 else ["."]
        else:
            continue
        for name in names:
            if not is_allowed(name):
                yield Flaw(node.lineno, node.col_offset + 1, _import_message(name))


def _import_message(name: str) -> str:
    top = name.partition(".")[0]
    near = difflib.get_close_matches(top, ALLOWED, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{name!r} cannot be imported in a transform{hint} (docs/transforms.md lists what can)"


def _function_flaws(tree: ast.Module) -> Iterator[Flaw]:
    found = [node for node in tree.body if getattr(node, "name", None) == "transform"]
    if not found:
        yield Flaw(1, 1, "the code defines no function transform(batches, params)")
        return
    last = found[-1]
    if isinstance(last, ast.AsyncFunctionDef):
        yield Flaw(last.lineno, last.col_offset + 1, "transform must be a plain function, not async")
    elif not isinstance(last, ast.FunctionDef):
        yield Flaw(last.lineno, last.col_offset + 1, "transform must be a function")
    elif not _takes_two(last.args):
        yield Flaw(last.lineno, last.col_offset + 1, "transform must take two arguments: transform(batches, params)")


def _takes_two(arguments: ast.arguments) -> bool:
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    enough = len(positional) >= 2 or arguments.vararg is not None  # noqa: PLR2004
    keywords = [default for default in arguments.kw_defaults if default is None]
    return required <= 2 and enough and not keywords  # noqa: PLR2004
