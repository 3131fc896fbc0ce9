"""What the documents say exists, exists."""

import re
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, modules

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "decisions").glob("*.md")])
_PATH = re.compile(r"`((?:libs|services|deploy|tests|docs|bench|examples)/[\w./*-]+)`")
_LINK = re.compile(r"\]\(([^)#]+)\)")
_METRIC = re.compile(r"`(regent_[a-z_]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    """Each path and each local link in a document leads to a file."""
    text = page.read_text(encoding="utf-8")
    missing = [path for path in _PATH.findall(text) if not list(ROOT.glob(path.rstrip("/")))]
    missing += [link for link in _LINK.findall(text) if ":" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_metrics_exist(page: Path) -> None:
    """Each metric that a document tells an operator to watch is one that the code has."""
    known = {name for module in modules("libs", "services") for name in re.findall(r'"(regent_[a-z_]+)"', module.text)}
    assert set(_METRIC.findall(page.read_text(encoding="utf-8"))) <= known


def test_decisions_are_numbered_and_whole() -> None:
    """Decision records are numbered without a gap, and each says context, decision, consequences and evidence."""
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        text = record.read_text(encoding="utf-8")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Evidence"]
        assert len(text.splitlines()) <= 60


def test_every_command_in_the_makefile_is_explained() -> None:
    """`make help` lists each target, and the two that the README names are there."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.findall(r"^\.PHONY: ([\w-]+)$", makefile, re.MULTILINE))
    assert phony == set(re.findall(r"^([\w-]+):.*## ", makefile, re.MULTILINE))
    assert {"demo", "test", "lint", "bench", "docs", "up", "check-deploy", "test-long", "help"} <= phony


def test_the_check_before_a_merge_runs_lint_and_tests() -> None:
    """`.ci/run` is what must be green: the linters and all tests."""
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert {"make lint", "make test"} <= set(script.read_text(encoding="utf-8").splitlines())
