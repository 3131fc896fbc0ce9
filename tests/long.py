"""The suites that take long, one after the other, each within its budget: `python -m tests.long [suite ...]`."""

import argparse
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

MINUTES = {
    "audit": 3,
    "auth": 3,
    "bench": 12,
    "expressions": 10,
    "jail": 10,
    "runner": 5,
    "system": 30,
    "validator": 20,
}
"""What each folder's long and chaos tests may take on two cores: twice what they took and more."""

_LAST_WORDS_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Ending:
    """How one suite ended, in a word, and the minutes that it took."""

    suite: str
    word: str
    minutes: float

    def __str__(self) -> str:
        return f"{self.suite:12} {self.word:12} {self.minutes:5.1f} of {MINUTES[self.suite]} minutes"


def run(suite: str) -> Ending:
    """Run one suite; one that takes longer than its budget is told to stop, and stops its servers."""
    _say(f"=== tests/{suite}: at most {MINUTES[suite]} minutes")
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", f"tests/{suite}", "-m", "long or chaos"]
    with subprocess.Popen(command) as process:  # noqa: S603 - ours
        word = _watched(process, MINUTES[suite] * 60)
    return Ending(suite, word, (time.monotonic() - began) / 60)


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join([*lines, ""]))
    sys.stdout.flush()


def _watched(process: "subprocess.Popen[bytes]", seconds: float) -> str:
    try:
        return "passed" if process.wait(seconds) == 0 else "failed"
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(_LAST_WORDS_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
    return "over budget"


def main() -> int:
    """Run the suites that are asked for, or all; 1 where one did not pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="suite", default=list(MINUTES), help=", ".join(MINUTES))
    suites = parser.parse_args().suites
    if unknown := sorted(set(suites) - MINUTES.keys()):
        parser.error(f"no such suite: {', '.join(unknown)}; there are {', '.join(MINUTES)}")
    endings = [run(suite) for suite in suites]
    _say("===", *map(str, endings))
    return 0 if all(ending.word == "passed" for ending in endings) else 1


if __name__ == "__main__":
    sys.exit(main())
