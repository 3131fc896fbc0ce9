"""What a transform does that is not a report's: its rows are refused with a reason, its errors named by line."""

from pathlib import Path

import pytest

from libs.common.jail import JobServer
from tests.validator.transforming import stopped


def frames(change: str) -> str:
    """Return code that changes a pandas frame."""
    return f"def transform(batches, params):\n    for f in batches.pandas():\n        {change}\n        yield f\n"


REFUSED = {
    "a record left out": (frames("f = f[f.index > 0]"), "records came to nothing", "1 (K1)"),
    "a foreign record": (frames("f['_ordinal'] += 1"), "name records that are not in the input", "11"),
    "a record twice": (frames("f['_ordinal'] = 1"), "stand behind several rows", "1 (K1)"),
    "no records named": (frames("f = f.drop(columns='_ordinal')"), "say in no column", "_ordinal"),
    "an empty number": (frames("f['_ordinal'] = None"), "is empty in some rows", "_ordinal"),
    "an unknown field": (frames("f['nope'] = 1"), "the target schema has no field", "nope"),
    "a required field without value": (frames("f['id'] = None"), "required field id", "id"),
    "a value that does not fit": (frames("f['amount'] = 'abc'"), "The value of amount does not fit", "10 rows"),
    "a value that would be rounded": (frames("f['amount'] = 1 / 3"), "The value of amount does not fit", "record 1"),
    "a text that is too long": (frames("f['id'] = 'x' * 21"), "longer than 20", "id"),
    "no table": ("def transform(batches, params):\n    yield 3\n", "yielded a int", "yield Arrow"),
    "nothing": ("def transform(batches, params):\n    pass\n", "returned nothing", "yield"),
    "nested values": (frames("f['id'] = [[1]] * 10"), "holds list", "'id'"),
    "SQL over what is not there": ("SELECT _ordinal, nope FROM records", "nope", "not found"),
}


@pytest.mark.parametrize(("code", "told", "detail"), REFUSED.values(), ids=REFUSED.keys())
async def test_rows_that_a_report_cannot_have_are_refused_with_a_reason(
    server: JobServer, tmp_path: Path, code: str, told: str, detail: str
) -> None:
    """Nothing disappears, nothing is invented, nothing is rounded: the message names field or record."""
    error = await stopped(server, tmp_path, code)
    assert told in error.message
    assert detail in error.message


async def test_an_error_names_the_lines_of_the_code_and_no_others(server: JobServer, tmp_path: Path) -> None:
    """Kind, message, and the way through the tenant's own functions, the innermost last (S26)."""
    code = "def helper(b):\n    return b['nope']\n\ndef transform(batches, params):\n    for b in batches.pandas():\n        yield helper(b)\n"
    error = await stopped(server, tmp_path, code)
    assert error.message == "The transform failed: line 2: KeyError: 'nope'"
    assert [(place.line, place.function, place.text) for place in error.lines] == [
        (6, "transform", "yield helper(b)"),
        (2, "helper", "return b['nope']"),
    ]


async def test_what_is_no_stream_of_rows_is_refused(server: JobServer, tmp_path: Path) -> None:
    """Code that writes its own bytes where rows go is found out at the gate."""
    code = (
        "import random\ndef transform(batches, params):\n    os = random._os\n"
        "    for d in range(3, 40):\n        try: os.write(d, b'\\xff\\xff\\xff\\xff\\x10\\x00\\x00\\x00' + b'x' * 64)\n"
        "        except OSError: pass\n    yield from batches\n"
    )
    error = await stopped(server, tmp_path, code)
    assert error.code in ("bad-rows", "transform-failed", "transform-crashed")
