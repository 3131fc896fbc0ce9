"""What may not stand in the source at all: evaluated text, clocks in the domain, settings outside main."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source import Module, calls, dotted, modules, product

EVALUATING = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "builtins.eval",
    "builtins.exec",
    "marshal.loads",
    "pickle.loads",
    "pickle.load",
}
EVALUATES = {
    "services/validator/jail/python.py": "a tenant's transform, in a confined process that holds nothing and reaches nothing",
}
CLOCKS = {
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns", "time.monotonic",
    "time.perf_counter", "utc_now", "os.getenv", "os.environ", "random.random", "uuid4", "secrets.token_bytes",
}  # fmt: skip
READS_ENVIRONMENT = {
    "libs/common/settings.py": "the one place that reads configuration",
    "libs/common/jail/confinement.py": "a confined child empties what it was born with",
    "libs/common/jail/host.py": "the same for the jail's own process",
    "libs/common/jail/settling.py": "the same for the child that all others are forked from",
}
COMMANDS = {"libs/common/crypto/turning.py", "services/audit/keys.py"}  # small programs that answer on standard output


def domain_modules() -> Iterator[Module]:
    """Yield the modules that must be pure: every service's domain, the vocabulary, the expression language."""
    for module in modules("services"):
        if f"{module.name}.".startswith(f"services.{module.service}.domain."):
            yield module
    yield from modules("libs/common/vocabulary", "libs/expressions", "libs/common/events")


def evaluated(module: Module) -> list[str]:
    """Return where a module evaluates text as Python."""
    found = []
    for call in calls(module.tree):
        name = dotted(call.func)
        if name in EVALUATING or name.endswith((".eval", ".query_string", ".read_pickle")):
            found.append(f"{module.path}:{call.lineno} {name}")
    return found


def test_nothing_evaluates_text() -> None:
    """S7, S18, S33: no eval, exec, compile, pickle or pandas eval anywhere but in the jail; the grammar is walked."""
    assert [place for module in product() if module.path not in EVALUATES for place in evaluated(module)] == []


def test_what_evaluates_runs_in_the_jail() -> None:
    """S33: whoever evaluates text is part of the jail, and does."""
    found = {module.path for module in product() if evaluated(module)}
    assert found == EVALUATES.keys()
    assert all(path.startswith("services/validator/jail/") for path in found)


@pytest.mark.parametrize(
    "text", ["eval(x)", "exec(x)", "builtins.eval(x)", "frame.eval(x)", "pickle.loads(x)", "__import__(x)"]
)
def test_each_way_of_evaluating_is_found(text: str) -> None:
    """S7: the lint is worth something."""
    assert evaluated(Module("services/x/y.py", text, ast.parse(text)))


def test_the_domain_reads_no_clock() -> None:
    """Time, chance and environment are passed into the domain, never read there."""
    used = [
        f"{module.path}:{node.lineno} {dotted(node)}"
        for module in domain_modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Name | ast.Attribute) and dotted(node) in CLOCKS
    ]
    assert used == []


def test_the_domain_never_waits() -> None:
    """A domain has no await: it takes what it needs."""
    waiting = [
        f"{module.path}:{node.lineno}"
        for module in domain_modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncWith | ast.AsyncFor)
    ]
    assert waiting == []


def test_only_settings_read_the_environment() -> None:
    """Configuration is a value, read once: nothing else in libraries and services looks at the environment."""
    readers = {
        module.path
        for module in modules("libs", "services")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and dotted(node) in ("os.environ", "os.getenv")
    }
    assert readers == set(READS_ENVIRONMENT)


def test_nobody_prints() -> None:
    """Services speak through the log, never to standard output."""
    printed = [
        f"{module.path}:{call.lineno}"
        for module in modules("libs", "services")
        for call in calls(module.tree)
        if dotted(call.func) == "print" and module.path not in COMMANDS and not module.path.endswith("generate.py")
    ]
    assert printed == []


def test_nobody_reads_naive_time() -> None:
    """Timestamps are aware: no utcnow, no now() without a zone."""
    naive = [
        f"{module.path}:{call.lineno}"
        for module in product()
        for call in calls(module.tree)
        if dotted(call.func).endswith("datetime.utcnow")
        or (dotted(call.func).endswith("datetime.now") and not call.args and not call.keywords)
    ]
    assert naive == []
