"""The source as text and trees, for tests that read it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICES = ("auth", "catalog", "scheduler", "runner", "validator", "audit")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: `path` is relative to the repository's root, with slashes."""

    path: str
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The dotted name that imports it."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def service(self) -> str | None:
        """The service that it belongs to, or None."""
        parts = self.path.split("/")
        return parts[1] if parts[0] == "services" and len(parts) > 2 else None


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Return all modules below these folders of the repository."""
    files = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return tuple(_module(path) for path in files)


def product() -> tuple[Module, ...]:
    """Return everything that runs at a customer's."""
    return modules("libs", "services", "deploy")


def _module(path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    return Module(path.relative_to(ROOT).as_posix(), text, ast.parse(text, filename=str(path)))


def functions(module: Module) -> Iterator[tuple[str, Function]]:
    """Yield every function with its qualified name: `Class.method`, `outer.inner`."""
    yield from _functions(module.tree, "")


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield f"{prefix}{child.name}", child
        inner = isinstance(child, Function | ast.ClassDef)
        yield from _functions(child, f"{prefix}{child.name}." if inner else prefix)


def place(module: Module, line: int) -> str:
    """Return the qualified name of the function that a line stands in, or `<module>`."""
    around = [(f.end_lineno or 0) - f.lineno for _, f in functions(module) if f.lineno <= line <= (f.end_lineno or 0)]
    if not around:
        return "<module>"
    return next(
        name
        for name, f in functions(module)
        if f.lineno <= line <= (f.end_lineno or 0) and (f.end_lineno or 0) - f.lineno == min(around)
    )


def dotted(node: ast.expr) -> str:
    """Return `a.b.c` of a name or attribute; what cannot be named so is `?`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"


def calls(node: ast.AST) -> Iterator[ast.Call]:
    """Yield every call below a node."""
    return (child for child in ast.walk(node) if isinstance(child, ast.Call))
