"""What is imported is declared, what is declared is locked, and the locks name no host."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
SERVICES = ("auth", "catalog", "scheduler", "runner", "validator", "audit")
LIBRARIES = {
    **dict.fromkeys(SERVICES, ("libs/common",)),
    **dict.fromkeys(("catalog", "runner", "validator"), ("libs/common", "libs/expressions")),
}
LOCKS = ("requirements.txt", "requirements-dev.txt", *(f"services/{name}/requirements.txt" for name in SERVICES))
OURS = {"libs", "services", "deploy"}


def declared(folder: str) -> set[str]:
    """Return the distributions that a pyproject names."""
    content = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())
    return {canonicalize_name(Requirement(text).name) for text in content["project"]["dependencies"]}


def optional(folder: str) -> set[str]:
    """Return the distributions that some users of a library need and declare themselves."""
    content = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())
    groups = content["project"].get("optional-dependencies", {}).values()
    return {canonicalize_name(Requirement(text).name) for group in groups for text in group}


def imported(folder: str) -> set[str]:
    """Return the packages that a folder's modules import; tools named `generate` run during development only."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / folder).rglob("*.py") if path.stem != "generate"]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - OURS


def pins(lock: str) -> dict[str, str]:
    """Return the locked versions by distribution; a package locked twice for two platforms keeps the last."""
    lines = [line.split(" ")[0] for line in (ROOT / lock).read_text().splitlines() if line[:1].isalnum()]
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


@pytest.mark.parametrize("folder", ["libs/common", "libs/expressions", "deploy/local"])
def test_a_library_declares_what_it_imports(folder: str) -> None:
    """No library lives on what another part happens to bring."""
    base = declared(folder) | optional(folder) | (declared("libs/common") if folder == "deploy/local" else set())
    assert _undeclared(folder, base) == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_declares_what_it_imports(service: str) -> None:
    """A service's own list and its libraries' lists cover its imports."""
    base = declared(f"services/{service}").union(*(declared(library) for library in LIBRARIES[service]))
    assert _undeclared(f"services/{service}", base) == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_carries_what_it_needs_of_a_library(service: str) -> None:
    """What a library needs for some of its users is declared by these, and is in nobody else's image."""
    texts = [path.read_text() for path in (ROOT / "services" / service).rglob("*.py")]
    needs = optional("libs/common") if any("libs.common.jail.tables" in text for text in texts) else set()
    wanted = declared(f"services/{service}").union(*(declared(library) for library in LIBRARIES[service]))
    assert needs <= declared(f"services/{service}")
    assert optional("libs/common") & pins(f"services/{service}/requirements.txt").keys() <= wanted


def _undeclared(folder: str, base: set[str]) -> list[str]:
    owners = packages_distributions()
    # FastAPI is Starlette with a contract: importing the one through the other is its documented way
    base = base | ({"starlette"} if "fastapi" in base else set())
    return [
        name
        for name in sorted(imported(folder))
        if not {canonicalize_name(owner) for owner in owners.get(name, [])} & base
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_locked_within_the_union(service: str) -> None:
    """An image gets the versions that were tested together, and everything declared."""
    union, own = pins("requirements.txt"), pins(f"services/{service}/requirements.txt")
    wanted = declared(f"services/{service}").union(*(declared(library) for library in LIBRARIES[service]))
    assert own.items() <= union.items()
    assert wanted <= own.keys()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash_and_no_host(lock: str) -> None:
    """Installing needs no trust in a mirror, and the file tells nobody's."""
    text = (ROOT / lock).read_text()
    blocks = [block for block in text.replace("\\\n", " ").splitlines() if block.strip()]
    assert [block for block in blocks if "--hash=sha256:" not in block or "==" not in block] == []
    assert "://" not in text
