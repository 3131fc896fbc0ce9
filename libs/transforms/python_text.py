"""A look at a Python transform's text: it parses, imports what there is, and defines `transform(batches, params)`."""

import ast
import keyword
import re
import symtable
import warnings
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from libs.common.nearest import nearest_name
from libs.transforms.flaws import Flaw, flaw_at
from libs.transforms.misplaced import misplaced
from libs.transforms.modules import ALLOWED, instead_of, is_allowed

_MOST = 50
_LINE_END = re.compile(r"\r\n|\r|\n")
_WORD = re.compile(r"[^\W\d]\w*")
_OPEN = re.compile(r"'([(\[{])' was never closed")
_CLOSES = {"(": ")", "[": "]", "{": "}"}
_WANTED_FOR = (
    ("unterminated", "the quotes that end it"),
    ("inconsistent use of tabs", "tabs or spaces, as in the line before"),
    ("unindent", "as many spaces as a line before it has"),
    ("unexpected indent", "as many spaces as the line before it has"),
    ("invalid non-printable", "text without it"),
    ("invalid character", "text without it: quotes and signs as programs have them"),
    ("too many", "flatter code"),
    ("name ", "the declaration before the name is used"),
    ("no binding", "a name of the function that is around it"),
    ("duplicate argument", "each name once"),
    ("future feature", "a feature that Python has"),
    ("import *", "names"),
)
_WANTED = "transform(batches, params)"
MODULE = "transform.py"
"""What the code's file is called in errors."""


def python_flaws(code: str) -> list[Flaw]:
    """Name what is wrong with a transform's code; an empty list says that it may be run (in the jail, nowhere else)."""
    tree = _parsed(code)
    if isinstance(tree, Flaw):
        return [tree]
    lines = _LINE_END.split(code)
    flaws = chain(misplaced(lines, tree), _import_flaws(lines, tree), _function_flaws(lines, tree))
    return list(islice(flaws, _MOST))


def _parsed(code: str) -> ast.Module | Flaw:
    if "\0" in code:
        before = _LINE_END.split(code[: code.index("\0")])
        return Flaw(len(before), len(before[-1]) + 1, "source code string cannot contain null bytes", "text without it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a doubtful escape in a text is no concern of ours
            tree = ast.parse(code, MODULE)
            symtable.symtable(code, MODULE, "exec")  # names that cannot be what they are said to be
            return tree
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
    said, found, wanted = error.msg.rpartition("expected ")
    if found and not said:
        return Flaw(line, column, "invalid syntax", wanted)
    return Flaw(line, column, error.msg, _expected(error.msg), near if plain else None)


def _expected(said: str) -> str:
    """Return what would be right where Python says this: for what it is wrong, it has words of its own."""
    closed = _OPEN.match(said)
    if closed:
        return f"{_CLOSES[closed[1]]!r} after it"
    wanted = next((wanted for beginning, wanted in _WANTED_FOR if said.startswith(beginning)), "")
    return wanted or "a statement that Python reads"


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
                instead = instead_of(name)
                near = None if instead else nearest_name(name.partition(".")[0], ALLOWED)
                said = f"{name!r} cannot be imported in a transform"
                yield flaw_at(lines, place, said, instead or "a module that docs/transforms.md lists", near)


def _function_flaws(lines: list[str], tree: ast.Module) -> Iterator[Flaw]:
    named = {str(getattr(node, "name", "")): node for node in tree.body}
    last: Any = named.get("transform")
    if last is None:
        said = "the code defines no function transform(batches, params)"
        near = nearest_name("transform", [name for name in named if name])
        elsewhere = _elsewhere(lines, tree)
        yield (
            flaw_at(lines, named[near], said, _WANTED, "transform")
            if near
            else elsewhere or Flaw(1, 1, said, f"def {_WANTED}")
        )
    elif isinstance(last, ast.AsyncFunctionDef):
        yield flaw_at(lines, last, "transform must be a plain function, not async", f"def {_WANTED}")
    elif not isinstance(last, ast.FunctionDef):
        yield flaw_at(lines, last, "transform must be a function", f"def {_WANTED}")
    elif not _takes_two(last.args):
        yield flaw_at(lines, last, "transform must take two arguments: transform(batches, params)", _WANTED)


def _elsewhere(lines: list[str], tree: ast.Module) -> Flaw | None:
    """Return the flaw of a `transform` that is there, but is not defined at the top of the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "transform":
            return flaw_at(
                lines, node, "transform must stand at the top of the module", f"def {_WANTED}, not within anything"
            )
        if isinstance(node, ast.Name) and node.id == "transform" and isinstance(node.ctx, ast.Store):
            return flaw_at(lines, node, "transform must be a function of its own", f"def {_WANTED}")
    return None


def _takes_two(arguments: ast.arguments) -> bool:
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    enough = len(positional) >= 2 or arguments.vararg is not None  # noqa: PLR2004
    keywords = [default for default in arguments.kw_defaults if default is None]
    return required <= 2 and enough and not keywords  # noqa: PLR2004
