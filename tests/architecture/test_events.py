"""What services announce and what the contracts list are the same."""

import ast
import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

import pytest

from docs.services import settings
from libs.common.bus.topology import TOPOLOGY
from libs.common.crypto.rings import KeyringSettings
from libs.common.events.registry import PUBLISHERS
from tests.architecture.source import SERVICES, Function, Module, calls, functions, modules

# An event of any kind of definition: `*.created`; its emitters are shared by every owner of definitions.
SHARED = "libs/common/definitions"
# Events of whoever keeps secrets under a key ring.
KEEPING_SECRETS = "libs/common/crypto"
# Where `emit` itself takes what it is given.
_PLUMBING = "libs/common/database/transaction.py"
# Who speaks to the bus, and what.
PUBLISHING = {
    "libs/common/bus/relay.py": "what the outbox holds",
    "libs/common/identity/state.py": "a request for the identity snapshot, with a reply subject of its own",
    "services/auth/publisher.py": "the identity snapshot: a copy of committed state in a bucket that only auth writes",
}
WILD = "*"


class Emissions:
    """The names that some modules emit; `*` stands for what is decided at run time."""

    def __init__(self, sources: Iterable[Module]) -> None:
        self._sources = tuple(sources)
        self._functions = [(m, f) for m in self._sources for _, f in functions(m)]

    def names(self) -> set[str]:
        """Return every name that is handed to `emit`, directly or through functions that pass it on."""
        return {
            name
            for module, function in self._functions
            for call in _own_calls(function)
            if isinstance(call.func, ast.Attribute) and call.func.attr == "emit"
            for name in self._values(call.args[0], module, function, 3)
        }

    def _values(self, node: ast.expr, module: Module, function: Function, depth: int) -> set[str]:
        if isinstance(node, ast.Constant):
            return {str(node.value)}
        if isinstance(node, ast.IfExp):
            return self._values(node.body, module, function, depth) | self._values(node.orelse, module, function, depth)
        if isinstance(node, ast.JoinedStr):
            return self._joined(node, module, function, depth)
        if isinstance(node, ast.Name):
            return self._named(node.id, module, function, depth)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            table = getattr(importlib.import_module(module.name), node.value.id, None)
            return set(table.values()) if isinstance(table, Mapping) else {WILD}
        return {WILD}

    def _joined(self, node: ast.JoinedStr, module: Module, function: Function, depth: int) -> set[str]:
        texts = {""}
        for part in node.values:
            hole = part.value if isinstance(part, ast.FormattedValue) else part
            texts = {text + value for text in texts for value in self._values(hole, module, function, depth)}
        return texts

    def _named(self, name: str, module: Module, function: Function, depth: int) -> set[str]:
        assigned = [
            node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
        ]
        if assigned:
            return {value for node in assigned for value in self._values(node, module, function, depth)}
        parameters = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
        if name in parameters and depth:
            return self._handed_to(function, name, parameters.index(name), depth - 1)
        return {WILD}

    def _handed_to(self, target: Function, name: str, position: int, depth: int) -> set[str]:
        """Return the values of an argument at every call of a function by its name."""
        found: set[str] = set()
        for module, function in self._functions:
            for call in _own_calls(function):
                called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
                if called != target.name or function is target:
                    continue
                named = [keyword.value for keyword in call.keywords if keyword.arg == name]
                given = named or call.args[position : position + 1]
                found |= {value for node in given for value in self._values(node, module, function, depth)}
        return found or {WILD}


def _own_calls(function: Function) -> Iterator[ast.Call]:
    inner = {
        id(node) for f in ast.walk(function) if isinstance(f, Function) and f is not function for node in ast.walk(f)
    }
    return (call for call in calls(function) if id(call) not in inner)


@cache
def emitted(service: str) -> frozenset[str]:
    """Return what a service emits, with the kinds of definition that it owns filled in."""
    own = Emissions(modules(f"services/{service}")).names()
    commands = importlib.import_module(f"services.{service}.commands")
    shared = Emissions(modules(SHARED)).names() if hasattr(commands, "KINDS") else set()
    kinds = getattr(commands, "KINDS", {})
    if issubclass(settings(service), KeyringSettings):
        own |= Emissions(modules(KEEPING_SECRETS)).names()
    return frozenset(own | {name.replace(WILD, kind) for name in shared for kind in kinds})


def matches(name: str, declared: Iterable[str]) -> bool:
    """Say whether a name, with wild parts or without, is declared."""
    pattern = re.compile(re.escape(name).replace(re.escape(WILD), "[a-z_]+"))
    return any(pattern.fullmatch(known) for known in declared)


@pytest.mark.parametrize("service", SERVICES)
def test_every_emitted_event_is_declared(service: str) -> None:
    """S28: nothing is announced that no contract lists."""
    assert {name for name in emitted(service) if not matches(name, PUBLISHERS[service])} == set()


@pytest.mark.parametrize("service", SERVICES)
def test_every_declared_event_is_emitted(service: str) -> None:
    """S28: a contract that nobody fulfils is no contract."""
    assert {
        known for known in PUBLISHERS[service] if not any(matches(name, [known]) for name in emitted(service))
    } == set()


@pytest.mark.parametrize("service", SERVICES)
def test_names_are_known_before_run_time(service: str) -> None:
    """The check above is worth something: no event's name is wholly decided at run time."""
    assert [name for name in emitted(service) if name.startswith(WILD)] == []


def test_only_transactions_write_the_outbox() -> None:
    """S39: an event leaves with the commit of what it tells of; nobody else publishes, or writes an outbox row."""
    writers = {
        module.path
        for module in modules("libs", "services")
        if re.search(r"INSERT INTO outbox|(jetstream|client)\.publish\(", module.text)
    }
    assert writers == {_PLUMBING, *PUBLISHING}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_what_it_subscribes_to(service: str) -> None:
    """A handler for events that the service's durable never delivers would wait forever."""
    reads = TOPOLOGY.service(service).reads
    subscriptions = importlib.import_module(f"services.{service}.handlers").SUBSCRIPTIONS
    assert [subject for subject in subscriptions if reads and not any(_covers(read, subject) for read in reads)] == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_subscribes_to_events_that_exist(service: str) -> None:
    """A handler for an event that no contract lists would wait forever."""
    subscriptions = importlib.import_module(f"services.{service}.handlers").SUBSCRIPTIONS
    known = [f"evt.*.{publisher}.{name}" for publisher, names in PUBLISHERS.items() for name in names]
    assert [subject for subject in subscriptions if not any(_covers(subject, event) for event in known)] == []


def _covers(pattern: str, subject: str) -> bool:
    """Say whether a subject pattern covers another subject or pattern."""
    left, right = pattern.split("."), subject.split(".")
    if left[-1] == ">":
        return len(right) >= len(left) and all(_token(a, b) for a, b in zip(left[:-1], right, strict=False))
    return len(left) == len(right) and all(_token(a, b) for a, b in zip(left, right, strict=True))


def _token(wanted: str, given: str) -> bool:
    return wanted in ("*", given)
