"""Transforms' texts are looked at before anything runs: what cannot work is named with its place, bombs cost nothing."""

import pytest

from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.expressions.sql import SqlError
from libs.transforms import guarded_query, python_flaws, query_flaws
from tests.frugal import frugally

SOURCE = SchemaSpec(fields=(SchemaField(name="id", type="text"), SchemaField(name="amount", type="decimal", scale=2)))
TARGET = SchemaSpec(
    fields=(SchemaField(name="id", type="text", required=True), SchemaField(name="amount", type="decimal"))
)
MAPPINGS = {"names": ("name",)}


@pytest.mark.parametrize(
    "code",
    [
        "def transform(batches, params):\n    yield 1",
        "import polars.selectors as cs\nfrom collections.abc import Mapping\ndef transform(*all):\n    return None",
        "from __future__ import annotations\ndef transform(b, p, limit=3):\n    return b.table()",
        "def transform(a): pass\ndef transform(a, b): pass",
        "from dateutil.relativedelta import relativedelta\nfrom pprint import pprint\ndef transform(b, p): yield",
        '"""Words."""\nfrom __future__ import annotations\nf = lambda: (yield)\ndef transform(b, p):\n    while p:\n        if b: break\n        else: continue\n    return [x for x in b] if 0 else b',
        "async def wait(x):\n    async with x: await x\n    [y async for y in x]\n    async for y in x: yield y\ndef transform(b, p):\r\n\tyield b",
    ],
)
def test_code_that_can_run_has_no_flaw(code: str) -> None:
    """Two arguments are enough, defaults may follow; the last definition counts."""
    assert python_flaws(code) == []
    compile(code, "transform.py", "exec")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def transform(batches, params)\n    pass", "line 1, column 31: invalid syntax (expected ':')"),
        ("def transform(b, p):\n\tx\n  y", "line 3, column 4: unindent does not match"),
        (
            "import panda\ndef transform(b, p): pass",
            "line 1, column 8: 'panda' cannot be imported in a transform (expected a module that docs/transforms.md lists); did you mean 'pandas'?",
        ),
        ("def transform(b, p):\n    from os import path", "line 2, column 5: 'os' cannot be imported"),
        ("from . import x\ndef transform(b, p): pass", "line 1, column 1: '.' cannot be imported"),
        ("x = 1", "defines no function transform(batches, params)"),
        ("async def transform(b, p): pass", "line 1, column 1: transform must be a plain function"),
        ("class transform: pass", "transform must be a function"),
        ("def transform(b): pass", "must take two arguments"),
        ("def transform(b, p, q): pass", "must take two arguments"),
        ("def transform(b, p, *, q): pass", "must take two arguments"),
        ("x = '\x00'", "line 1, column 6: source code string cannot contain null bytes"),
        ("x = 'é'; import os", "line 1, column 17: 'os' cannot be imported"),
        (
            "deff transform(b, p):\n    pass",
            "line 1, column 6: invalid syntax (expected a statement that Python reads); did you mean 'def'?",
        ),
        (
            "def transform(b, p):\n    retrun b",
            "line 2, column 12: invalid syntax (expected a statement that Python reads); did you mean 'return'?",
        ),
        ("def transform(b, p):\n    x = (1", "line 2, column 9: '(' was never closed (expected ')' after it)"),
        (
            "def transform(b, p):\nyield",
            "line 2, column 1: invalid syntax (expected an indented block after function definition on line 1)",
        ),
        (
            "def transform(b, p):\n    x = 'a\n",
            "line 2, column 9: unterminated string literal (detected at line 2) (expected the quotes",
        ),
        (
            "def transform(b, p):\n\tif p:\n        yield",
            "line 3, column 1: inconsistent use of tabs and spaces in indentation (expected tabs or",
        ),
        (
            "\ufeffdef transform(b, p): yield",
            "line 1, column 1: invalid non-printable character U+FEFF (expected text without it)",
        ),
        (
            "def transform(b, p):\r\n    x = “a”",
            "line 2, column 9: invalid character '“' (U+201C) (expected text without it",
        ),
        (
            "def transform(b, p): yield\nreturn 1",
            "line 2, column 1: 'return' outside a function (expected it within transform",
        ),
        ("def transform(b, p): pass\nfor x in ():\n    yield x", "line 3, column 5: 'yield' outside a function"),
        (
            "def transform(b, p):\n    return [x async for x in b]",
            "line 2, column 12: waiting outside an async function",
        ),
        (
            "def transform(b, p):\n    await p",
            "line 2, column 5: waiting outside an async function (expected plain code",
        ),
        (
            "def transform(b, p):\n    for x in b:\n        def f(): break",
            "line 3, column 18: 'break' outside a loop (expected it within",
        ),
        (
            "def transform(b, p):\n    for x in b: pass\n    else: continue",
            "line 3, column 11: 'continue' outside a loop",
        ),
        ("class A:\n    return 1\ndef transform(b, p): yield", "line 2, column 5: 'return' outside a function"),
        (
            "def transform(b, p):\n    nonlocal x",
            "line 2, column 5: no binding for nonlocal 'x' found (expected a name of the function",
        ),
        (
            "def transform(b, p):\n    x = 1\n    global x",
            "line 3, column 5: name 'x' is assigned to before global declaration (expected the",
        ),
        (
            "def transform(b, b): yield",
            "line 1, column 18: duplicate argument 'b' in function definition (expected each name once)",
        ),
        (
            "from __future__ import nope\ndef transform(b, p): yield",
            "line 1, column 1: future feature nope is not defined",
        ),
        (
            "import json\nfrom __future__ import annotations\ndef transform(b, p): yield",
            "line 2, column 1: 'from __future__' after other",
        ),
        (
            "if True:\n    def transform(b, p): yield",
            "line 2, column 5: transform must stand at the top of the module (expected def",
        ),
        (
            "x = 1\ntransform = lambda b, p: b",
            "line 2, column 1: transform must be a function of its own (expected def transform",
        ),
        ("import pytz", "line 1, column 8: 'pytz' cannot be imported in a transform (expected zoneinfo)"),
        (
            "from os import path",
            "line 1, column 1: 'os' cannot be imported in a transform (expected params and mappings",
        ),
        ("from scipy.stats import norm", "(expected numpy, pandas or statistics)"),
        (
            "x = 1\ndef tranform(b, p): pass",
            "line 2, column 1: the code defines no function transform(batches, params) (expected transform(batches, params)); did you mean 'transform'?",
        ),
        ("def transform(b): pass", "(expected transform(batches, params))"),
        ("import json, requests\ndef transform(b, p): pass", "line 1, column 14: 'requests' cannot be imported"),
    ],
)
def test_code_that_cannot_run_is_told_where(code: str, told: str) -> None:
    """Line and column, what was expected, the nearest known name (S27)."""
    assert told in "; ".join(str(flaw) for flaw in python_flaws(code))


BOMBS = {
    "brackets": "(" * 60_000,
    "signs": "x = " + "-" * 60_000 + "1",
    "attributes": "x = a" + ".b" * 30_000,
    "sums": "x = 1" + "+1" * 30_000,
    "powers": "x = 1" + "**1" * 20_000,
    "digits": "x = " + "9" * 60_000,
    "lambdas": "x = " + "lambda:" * 9000 + "1",
    "blocks": "".join(" " * depth + "if 1:\n" for depth in range(300)),
}


@pytest.mark.parametrize("code", BOMBS.values(), ids=BOMBS.keys())
def test_code_that_would_take_long_to_read_is_refused_at_once(code: str) -> None:
    """Nothing of a tenant's text is compiled or executed, and reading it ends (S27, S33)."""
    assert frugally(python_flaws, code, 1.0)


def test_a_query_that_fits_is_accepted() -> None:
    """Fields, numbers and keys of records, mappings by alias, and the records behind a row can be named."""
    query = "SELECT max(n.name) AS id, sum(r.amount) AS amount, list(r._ordinal) AS _ordinals FROM records AS r LEFT JOIN names AS n ON n.key = r.id GROUP BY r.id"
    assert list(query_flaws(query, SOURCE, TARGET, MAPPINGS)) == []
    assert "list(r._ordinal)" in guarded_query(query, SOURCE, MAPPINGS).sql


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT id FROM records", "_ordinal nor _ordinals"),
        ("SELECT _ordinal, list(_ordinal) OVER () AS _ordinals, id FROM records", ""),
        ("SELECT _ordinal, amount FROM records", "required target field id"),
        ("SELECT _ordinal, id, 1 AS x FROM records", "the target schema has no field x"),
        ("SELECT _ordinal, idd AS id FROM records", "'id'"),
        ("SELECT _ordinal, id FROM record", "'records'"),
        ("SELECT list(id) AS _ordinals, 'x' AS id FROM records", "list collects records only"),
        ("DELETE FROM records", "SELECT"),
        ("SELECT _ordinal, id FROM read_text('/etc/passwd')", "functions after FROM"),
        ("SELECT _ordinal, getenv('PATH') AS id FROM records", "cannot be used"),
    ],
)
def test_a_query_that_does_not_fit_is_told_why(query: str, told: str) -> None:
    """The guard's words with their place, or what the target lacks (S27)."""
    flaws = list(query_flaws(query, SOURCE, TARGET, MAPPINGS))
    assert flaws
    assert told in str(flaws[0])
    assert flaws[0].expected


def test_a_mapping_cannot_hide_the_records() -> None:
    """An alias `records` beside a query is refused."""
    assert "alias" in str(next(query_flaws("SELECT 1", SOURCE, TARGET, {"records": ()})))
    with pytest.raises(SqlError):
        guarded_query("SELECT nope FROM records", SOURCE, {})
