import threading
from functools import cache

import duckdb

from libs.expressions.parsing import MAX_PATTERN

_ONE_AT_A_TIME = threading.Lock()


def check_pattern(pattern: str) -> None:
    """Raise ValueError unless `pattern` is a regular expression that the engine takes, within the limit.

    The engine itself is asked (in memory, without data): no other reader of RE2 accepts exactly the same patterns.
    """
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"the pattern has {len(pattern)} characters, at most {MAX_PATTERN} are allowed")
    with _ONE_AT_A_TIME:
        problem = _problem(pattern)
    if problem:
        raise ValueError(f"the pattern is not valid: {problem}")


def _problem(pattern: str) -> str:
    try:
        _engine().execute("SELECT regexp_full_match('', $1)", [pattern]).fetchall()
    except duckdb.Error as error:
        return str(error).splitlines()[0].removeprefix("Invalid Input Error: ")[:200]
    return ""


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"threads": 1, "enable_external_access": False})
