"""The long suites: each has a budget, and one that takes longer is stopped."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import long

TESTS = Path(long.__file__).parent
_MARK = re.compile(r"\bmark\.(long|chaos)\b")
_DEAF = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN)"


def test_every_suite_with_long_tests_has_a_budget() -> None:
    """A folder whose tests are long or chaos is among the suites, and no other."""
    marked = {
        path.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py") if _MARK.search(path.read_text())
    }
    assert marked == long.MINUTES.keys()


@pytest.mark.parametrize(("script", "codes"), [("import time", {-2, 1}), (_DEAF, {-9})])
def test_one_that_takes_too_long_is_told_to_stop(monkeypatch: pytest.MonkeyPatch, script: str, codes: set[int]) -> None:
    """Its servers stop with it, which takes a moment; what does not listen is killed."""
    monkeypatch.setattr(long, "_LAST_WORDS_SECONDS", 2)
    with _started(f"{script}; print(flush=True); time.sleep(600)") as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert long._watched(process, 0.1) == "over budget"
        assert process.wait() in codes


@pytest.mark.parametrize(("code", "word"), [(0, "passed"), (1, "failed"), (5, "failed")])
def test_the_word_of_a_suite(code: int, word: str) -> None:
    """Only a suite whose tests passed, and which has any, has passed."""
    with _started(f"raise SystemExit({code})") as process:
        assert long._watched(process, 30) == word


def _started(script: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", script]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603 - ours
