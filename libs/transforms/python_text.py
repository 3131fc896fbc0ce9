"""A look at a Python transform's text: it parses, imports what there is, and defines `transform(batches, params)`."""

import ast
import keyword
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from libs.common.nearest import nearest_name
from libs.transforms.modules import ALLOWED, is_allowed

_MOST = 50
_LINE_END = re.compile(r"\r\n|\r|\n")
_WORD = re.compile(r"[^\W\d]\w*")
_WANTED = "transform(batches, params)"
MODULE = "transform.py"
"""What the code's file is called in errors."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong with the text, at a line and a column (both from 1)."""

    line: int
    column: int
    message: str
    expected: str = ""
    nearest: str | None = None

    def __str__(self) -> str:
        hint = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        wanted = f" (expected {self.expected})" if self.expected else ""
        return f"line {self.line}, column {self.column}: {self.message}{wanted}{hint}"


def python_flaws(code: str) -> list[Flaw]:
    """Name what is wrong with a transform's code; an empty list says that it may be run (in the jail, nowhere else)."""
    tree = _parsed(code)
    if isinstance(tree, Flaw):
        return [tree]
    lines = _LINE_END.split(code)
    return list(islice(chain(_import_flaws(lines, tree), _function_flaws(lines, tree)), _MOST))


def _parsed(code: str) -> ast.Module | Flaw:
    if "\0" in code:
        before = _LINE_END.split(code[: code.index("\0")])
        return Flaw(len(before), len(before[-1]) + 1, "source code string cannot contain null bytes", "text without it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a doubtful escape in a text is no concern of ours
            return ast.parse(code, MODULE)
    except SyntaxError as error:
        return _unreadable(code, error)
    except (RecursionError, MemoryError):
        return Flaw(1, 1, "the code is nested too deeply", "flatter code")
    except ValueError as error:
        return Flaw(1, 1, str(error), "text that Python reads")


def _unreadable(code: str, error: SyntaxError) -> Flaw:
    """Return what Python says, and the word of the language that a word before the place is very like."""
    line, column = error.lineno or 1, max(error.offset or 1, 1)
    written = "".join(_LINE_END.split(code)[line - 1 : line])[: column - 1]
    words = [word for word in _WORD.findall(written) if not keyword.iskeyword(word)]
    near = next((near for word in reversed(words[-2:]) if (near := nearest_name(word, keyword.kwlist))), None)
    plain = error.msg.startswith("invalid syntax")
    return Flaw(line, column, error.msg, "a statement that Python reads" if plain else "", near if plain else None)


def _import_flaws(lines: list[str], tree: ast.Module) -> Iterator[Flaw]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named: list[tuple[str, ast.AST]] = [(alias.name, alias) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            named = [((node.module or "") if node.level == 0 else ".", node)]
        else:
            continue
        for name, place in named:
            if not is_allowed(name):
                near = nearest_name(name.partition(".")[0], ALLOWED)
                said = f"{name!r} cannot be imported in a transform"
                yield _flaw(lines, place, said, "a module that docs/transforms.md lists", near)


def _flaw(lines: list[str], node: Any, message: str, expected: str, nearest: str | None = None) -> Flaw:
    """Make the flaw at a node, whose column Python counts in bytes."""
    before = lines[node.lineno - 1].encode()[: node.col_offset].decode(errors="ignore")
    return Flaw(node.lineno, len(before) + 1, message, expected, nearest)


def _function_flaws(lines: list[str], tree: ast.Module) -> Iterator[Flaw]:
    named = {str(getattr(node, "name", "")): node for node in tree.body}
    last: Any = named.get("transform")
    if last is None:
        said = "the code defines no function transform(batches, params)"
        near = nearest_name("transform", [name for name in named if name])
        yield _flaw(lines, named[near], said, _WANTED, "transform") if near else Flaw(1, 1, said, f"def {_WANTED}")
    elif isinstance(last, ast.AsyncFunctionDef):
        yield _flaw(lines, last, "transform must be a plain function, not async", f"def {_WANTED}")
    elif not isinstance(last, ast.FunctionDef):
        yield _flaw(lines, last, "transform must be a function", f"def {_WANTED}")
    elif not _takes_two(last.args):
        yield _flaw(lines, last, "transform must take two arguments: transform(batches, params)", _WANTED)


def _takes_two(arguments: ast.arguments) -> bool:
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    enough = len(positional) >= 2 or arguments.vararg is not None  # noqa: PLR2004
    keywords = [default for default in arguments.kw_defaults if default is None]
    return required <= 2 and enough and not keywords  # noqa: PLR2004
