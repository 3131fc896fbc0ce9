"""Every benchmark runs to its end at a small size, and what it compares is the same; its ratios say nothing there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import SUITE

ROOT = Path(__file__).parents[2]
SMALL = {
    "run_latency": ["--runs", "3"],
    "run_list": ["--runs", "2000"],
    "verification": ["--runs", "2000"],
    "logins": ["--rounds", "1"],
    "events": [],
    "data_path": ["--rows", "20000", "--scale", "0"],
    "exceptions": ["--exceptions", "200000"],
    "rules": ["--rows", "300000", "--rounds", "1"],
    "rules_large": ["--rows", "300000"],
    "jail": ["--rounds", "2"],
    "try": ["--tries", "5"],
}
_RATIO = re.compile(r"^MISS .*\(at most [0-9.]+\)$")
"""A bar that a small size may miss; what is either so or not has no number."""


@pytest.mark.long
@pytest.mark.parametrize("name", SUITE)
def test_it_runs(name: str) -> None:
    """It ends by itself, without an error, and finds nothing different that must be the same."""
    command = [sys.executable, "-m", f"bench.{SUITE[name]}", *SMALL[name]]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)  # noqa: S603 - ours
    told = ended.stdout.splitlines()
    missed = [line for line in told if line.startswith("MISS")]
    assert ended.returncode == (1 if missed else 0), ended.stderr[-3000:]
    assert any(line.startswith("ok") for line in told), ended.stdout
    assert [line for line in missed if not _RATIO.match(line)] == []
