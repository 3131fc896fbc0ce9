"""Statements of a Python text that stand where they cannot: its grammar allows them, its compiler would not."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from libs.transforms.flaws import Flaw, flaw_at

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_GATHERS = (ast.ListComp, ast.SetComp, ast.DictComp)
_LOOPS = (ast.For, ast.While, ast.AsyncFor)


@dataclass(frozen=True, slots=True)
class _Inside:
    """What is around a statement: a function, one that may wait, a loop."""

    function: bool = False
    waiting: bool = False
    loop: bool = False


def misplaced(lines: list[str], tree: ast.Module) -> list[Flaw]:
    """Return what stands where it cannot, in the order of the text."""
    found = [*_found(lines, tree), *_late_futures(lines, tree)]
    return sorted(found, key=lambda flaw: (flaw.line, flaw.column))


def _found(lines: list[str], tree: ast.Module) -> Iterator[Flaw]:
    todo: list[tuple[ast.AST, _Inside]] = [(tree, _Inside())]
    while todo:  # not by recursion: a text may be nested deeply
        node, around = todo.pop()
        said = _said(node, around)
        if said:
            yield flaw_at(lines, node, *said)
        todo += _below(node, around)


def _said(node: ast.AST, around: _Inside) -> tuple[str, str] | None:
    if isinstance(node, ast.Return) and not around.function:
        return "'return' outside a function", "it within transform, or another function"
    if isinstance(node, ast.Yield | ast.YieldFrom) and not around.function:
        return "'yield' outside a function", "it within transform, or another function"
    gathers = isinstance(node, _GATHERS) and any(one.is_async for one in node.generators)
    if (gathers or isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith)) and not around.waiting:
        return "waiting outside an async function", "plain code: a transform has nothing to wait for"
    if isinstance(node, ast.Break | ast.Continue) and not around.loop:
        return f"'{type(node).__name__.lower()}' outside a loop", "it within for or while"
    return None


def _below(node: ast.AST, around: _Inside) -> Iterator[tuple[ast.AST, _Inside]]:
    if isinstance(node, _FUNCTIONS):
        around = _Inside(function=True, waiting=isinstance(node, ast.AsyncFunctionDef))
    elif isinstance(node, ast.ClassDef):
        around = _Inside()
    if isinstance(node, _LOOPS):
        within = _Inside(around.function, around.waiting, loop=True)
        yield from ((child, within) for child in node.body)
        yield from ((child, around) for child in ast.iter_child_nodes(node) if child not in node.body)
    else:
        yield from ((child, around) for child in ast.iter_child_nodes(node))


def _late_futures(lines: list[str], tree: ast.Module) -> Iterator[Flaw]:
    early = True
    for place, node in enumerate(tree.body):
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        early = early and (
            future or (place == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        )
        if future and not early:
            yield flaw_at(lines, node, "'from __future__' after other statements", "it at the beginning")
