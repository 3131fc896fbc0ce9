"""Regular expressions in rules: the engine says whether it takes one, a reader of our own where and why not.

Compiling is what costs: a text's patterns share a budget of what they become once compiled, counted before the engine
is asked.
"""

import threading
from functools import cache

import duckdb

from libs.expressions.parsing import MAX_PATTERN
from libs.expressions.patterns.characters import unknown_class
from libs.expressions.patterns.errors import PatternError
from libs.expressions.patterns.reading import Reader

__all__ = ["MOST", "PatternError", "Patterns"]

MOST = 30_000
"""What all patterns of one text, or rule, may come to once compiled; one or two microseconds of a processor each."""

_EACH = 200
"""What asking the engine costs beside."""

_ONE_AT_A_TIME = threading.Lock()
_UNKNOWN_CLASS = "invalid character class range: \\"


class Patterns:
    """The patterns of one text, or of one rule: what they may still come to."""

    def __init__(self, most: int = MOST) -> None:
        self._left = most
        self._taken: set[str] = set()

    def check(self, pattern: str) -> None:
        """Refuse what is no regular expression that the engine takes, or too large, alone or with those before it.

        The engine itself is asked (in memory, without data): no other reader of RE2 accepts exactly the same patterns.

        Raises:
            PatternError: what is wrong, and at which character.
        """
        if pattern in self._taken:
            return
        if len(pattern) > MAX_PATTERN:
            raise PatternError(f"the pattern has {len(pattern)} characters", MAX_PATTERN, f"at most {MAX_PATTERN}")
        read = Reader(pattern)
        self._left -= _EACH + read.size
        if self._left < 0:
            raise PatternError(
                "the pattern is too large, with those before it", read.largest,
                "fewer repetitions, smaller classes: * or +, and the length in a condition of its own",
            )  # fmt: skip
        with _ONE_AT_A_TIME:
            problem = _problem(pattern)
        if problem.startswith(_UNKNOWN_CLASS):
            raise unknown_class(pattern, problem.removeprefix(_UNKNOWN_CLASS[:-1]))
        if problem:
            raise read.flaw or _told(pattern, problem)
        self._taken.add(pattern)


def _told(pattern: str, problem: str) -> PatternError:
    """Return the engine's own words, at the part of the pattern that they name."""
    at = max(pattern.find(problem.partition(": ")[2]), 0)
    return PatternError(f"the pattern is not valid: {problem}", at, "a regular expression of RE2")


def _problem(pattern: str) -> str:
    """Return what the engine says of a pattern, or nothing; of all ways to ask, this one compiles it only once."""
    try:
        _engine().execute("SELECT regexp_replace(value, $1, '') FROM empty", [pattern]).fetchall()
    except duckdb.Error as error:
        return str(error).splitlines()[0].removeprefix("Invalid Input Error: ")[:200]
    return ""


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:", config={"threads": 1, "enable_external_access": False})
    connection.execute("CREATE TABLE empty (value VARCHAR)")
    return connection
