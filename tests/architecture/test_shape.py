"""The shape of the code: who imports whom, how long things grow, what tests say of themselves."""

import ast
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.architecture.source import ROOT, SERVICES, dotted, functions, modules, product

LONGEST_FUNCTION, LONGEST_FILE = 50, 300
LONG_FILES = {
    "deploy/verify/regent_verify.py": "the offline verifier is one file that an auditor can read and carry away",
}


def run(*arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Run this Python in the repository's root with an environment of its own."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(  # noqa: S603 - our own interpreter and arguments
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_import_contracts_hold() -> None:
    """S17: services are strangers, layers point downwards, domains and the expression language do no I/O."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


def test_all_services_stand_under_each_contract() -> None:
    """A seventh service, or a renamed one, cannot slip past the contracts."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    folders = {path.parent.name for path in (ROOT / "services").glob("*/main.py")}
    assert folders == set(SERVICES)
    for service in SERVICES:
        assert text.count(f'"services.{service}"') == 2
        assert text.count(f'"services.{service}.domain"') == 1


_IMPORT_ALL = """
import importlib, sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.fork"):
        raise RuntimeError(f"importing does I/O: {event} {arguments[1:]}")
sys.addaudithook(refuse)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(len(sys.argv) - 1)
"""


@pytest.mark.parametrize("seed", [7, 77])
def test_modules_import_in_any_order_without_a_socket(seed: int) -> None:
    """S17: no import cycle hides behind a lucky order, and importing opens no connection and starts no process."""
    names = [module.name for module in product() if not module.path.endswith("__main__.py")]
    random.Random(seed).shuffle(names)  # noqa: S311 - an order, no secret
    done = run("-c", _IMPORT_ALL, *names)
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-2000:]}"
    assert done.stdout.strip() == str(len(names))


_IMPORT_WITH_ONLY = """
import importlib, sys
foreign = set(sys.argv[2].split(","))
class Only:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in foreign:
            raise ModuleNotFoundError(f"No module named {name!r} in this service's image", name=name)
sys.meta_path.insert(0, Only())
importlib.import_module(f"services.{sys.argv[1]}.main")
for name in list(sys.modules):
    assert not name.startswith("services.") or name.startswith(f"services.{sys.argv[1]}"), name
"""


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_with_its_own_packages_only(service: str) -> None:
    """S17: a service imports with exactly the packages of its own lock, and brings no other service with it."""
    done = run("-c", _IMPORT_WITH_ONLY, service, ",".join(sorted(_foreign(service))))
    assert done.returncode == 0, done.stderr[-2000:]


def _foreign(service: str) -> set[str]:
    """Return the top-level names installed here that the service's locked packages do not bring."""
    lock = (ROOT / "services" / service / "requirements.txt").read_text(encoding="utf-8")
    locked = {canonicalize_name(line.partition("==")[0]) for line in lock.splitlines() if line[:1].isalnum()}
    brought = packages_distributions().items()
    foreign = {name for name, owners in brought if not {canonicalize_name(owner) for owner in owners} & locked}
    assert {"pytest", "hypothesis"} <= foreign
    return foreign


def test_no_function_outgrows_its_name() -> None:
    """A function of more than fifty lines hides a concept that wants a name."""
    long = [
        f"{module.path}:{function.lineno} {name} has {length} lines"
        for module in product()
        for name, function in functions(module)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > LONGEST_FUNCTION
    ]
    assert long == []


def test_no_file_outgrows_its_name() -> None:
    """S13: a file of more than three hundred lines hides another."""
    lengths = {module.path: module.text.count("\n") for module in product()}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE and path not in LONG_FILES} == {}
    assert all(lengths[path] > LONGEST_FILE for path in LONG_FILES)


def test_every_test_says_what_it_shows() -> None:
    """Each test states its one behaviour in one sentence."""
    silent = [
        f"{module.path}:{function.lineno} {name}"
        for module in modules("tests")
        if module.path.rsplit("/", 1)[-1].startswith("test_")
        for name, function in functions(module)
        if name.rsplit(".", 1)[-1].startswith("test_") and "." not in name.partition(".")[2]
        if not ast.get_docstring(function)
    ]
    assert silent == []


def test_every_worker_calls_tests_the_same() -> None:
    """What is tried in a parametrised test is made without chance or clock: workers would not agree on its name."""
    changing = {"uuid4", "uuid7", "token_hex", "token_urlsafe", "utc_now", "now", "time", "monotonic", "random"}
    made = [
        f"{module.path}:{call.lineno} {dotted(call.func)}"
        for module in modules("tests")
        for _, function in functions(module)
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call) and dotted(decorator.func).endswith("parametrize")
        for call in _called_now(decorator)
        if dotted(call.func).rsplit(".", 1)[-1] in changing
    ]
    assert made == []


def _called_now(node: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls below a node that are made when it is read: what stands in a lambda is called later."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield child
        if not isinstance(child, ast.Lambda):
            yield from _called_now(child)


def test_no_service_names_anothers_schema() -> None:
    """No service's code, migration or roles file names another service's schema or roles."""
    foreign = []
    for service in SERVICES:
        others = "|".join(other for other in SERVICES if other != service)
        role = re.compile(rf"\b({others})_(owner|server|relay|claimer|reaper|keeper|mailer|writer|signer)\b")
        table = re.compile(rf"\b(?:FROM|JOIN|INTO|UPDATE|TABLE|ON|REFERENCES)\s+({others})\.\w+", re.IGNORECASE)
        schema = re.compile(rf"(?:search_path|SCHEMA)\W+({others})\b")
        for path in sorted((ROOT / "services" / service).rglob("*")):
            if path.suffix in (".py", ".sql"):
                text = path.read_text(encoding="utf-8")
                foreign += [
                    f"{path.relative_to(ROOT)}: {m[0]}" for rule in (role, table, schema) for m in rule.finditer(text)
                ]
    assert foreign == []
