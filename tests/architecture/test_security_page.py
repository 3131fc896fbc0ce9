"""The threat model is whole, and every promise in it names a test that exists."""

import re

from tests.architecture.source import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
BOUNDARIES = (
    "Browser and API: the gateway",
    "OAuth clients",
    "Identity providers of tenants",
    "Service and bus",
    "Service and database",
    "The jail",
    "Sources and destinations",
    "The operator",
)
_TEST = re.compile(r"`(tests/[\w/]+/test_\w+\.py)`")


def rows(boundary: str) -> list[list[str]]:
    """Return the threats of a boundary: letter, threat, promise, tests."""
    section = PAGE.partition(f"\n## {boundary}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith("| |")]


def test_every_boundary_is_asked_for_every_kind_of_threat() -> None:
    """Spoofing, tampering, repudiation, disclosure, denial and elevation, at each boundary."""
    for boundary in BOUNDARIES:
        assert {row[0] for row in rows(boundary)} == set("STRIDE"), boundary


def test_every_promise_names_a_test_that_exists() -> None:
    """A promise without a test is none: it belongs under what is not there yet."""
    for boundary in BOUNDARIES:
        for row in rows(boundary):
            named = _TEST.findall(row[3])
            assert named, row
            assert [path for path in named if not (ROOT / path).is_file()] == [], row
            assert all("def test_" in (ROOT / path).read_text(encoding="utf-8") for path in named), row


def test_what_is_not_there_yet_is_said() -> None:
    """The page is honest: it ends with what is missing."""
    assert len(re.findall(r"^- ", PAGE.partition("\n## Not yet\n")[2], re.MULTILINE)) >= 3
