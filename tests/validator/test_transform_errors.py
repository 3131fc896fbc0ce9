"""What is said of an error in a tenant's code: its words, its lines and no others, the name that was meant."""

from pathlib import Path

import pytest

from libs.common.jail import JobServer
from tests.validator.transforming import stopped

HEAD = "import polars as pl\n\ndef transform(batches, params):\n    "

TOLD = {
    "a name": ("print(batchs)\n    yield", "line 4: NameError: name 'batchs' is not defined; did you mean 'batches'?"),
    "an attribute": ("yield pl.colum('id')", "line 4: AttributeError: module 'polars' has no attribute 'colum'; did you mean 'col'?"),
    "a method": ("yield next(batches.pandas()).gropuby('id')", "did you mean 'groupby'?"),
    "of batches": ("return batches.to_pandas()", "it has polars(), pandas(), table(), rows, schema and mappings; did you mean 'pandas'?"),
    "an import": ("from collections import Countr", "line 4: ImportError: cannot import name 'Countr' from 'collections'; did you mean 'Counter'?"),
    "native code": ("import pyarrow.orc", "line 4: ImportError: the native code of _orc is not there in a transform"),
    "a column": ("f = next(batches.pandas())\n    yield f['amonut']", "line 5: KeyError: 'amonut'; did you mean 'amount'?"),
    "a key": ("row = batches.table().to_pylist()[0]\n    yield row['Amount']", "line 5: KeyError: 'Amount'; did you mean 'amount'?"),
    "a parameter": ("yield params['limit']", "line 4: KeyError: 'limit'; the report's params are least, most"),
    "a cause": (
        "try: int('x')\n    except ValueError as error: raise RuntimeError('bad') from error",
        "line 5: RuntimeError: bad (after line 4: ValueError: invalid literal for int() with base 10: 'x')",
    ),
    "a note": ("error = ValueError('bad')\n    error.add_note('in K1')\n    raise error", "line 6: ValueError: bad\nin K1"),
    "no words": ("assert not params", "line 4: AssertionError"),
    "no text": (
        "class E(Exception):\n        def __str__(self): return self.nope\n    raise E",
        "line 6: E: it has no words, for its own text fails: AttributeError",
    ),
    "an end": ("exit()", "line 4: SystemExit: the code ended itself; it is done when transform returns"),
    "an end with words": ("raise SystemExit('enough')", "line 4: SystemExit: enough (the code ended itself"),
    "no network": ("import pandas as pd\n    pd.read_csv('https://example.org/x.csv')", "(a transform has no files and no network)"),
    "a long name": (f"def {'f' * 300}(): raise ValueError('bad')\n    {'f' * 300}()", "line 4: ValueError: bad"),
    "read twice": (
        "list(batches)\n    yield from batches",
        "line 5: RuntimeError: the records were read already: batches can be read once, so keep what is needed again",
    ),
    "at a yield": ("yield 3", "line 4: transform yielded an int"),
    "at a yield of a lazy frame": ("yield next(batches.polars()).lazy().select('nope')", "line 4: ColumnNotFoundError"),
    "at a yield further in": ("def inner():\n        yield {}\n    yield from inner()", "line 5: transform yielded a dict"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "told"), TOLD.values(), ids=TOLD.keys())
async def test_an_error_says_what_is_wrong_and_where(server: JobServer, tmp_path: Path, body: str, told: str) -> None:
    """Line, kind, words, and the nearest name of what was at hand (S26, S27)."""
    error = await stopped(server, tmp_path, HEAD + body + "\n", params={"least": 1, "most": 2})
    assert told in error.message
    assert error.lines[0].function == "transform"
    assert "site-packages" not in error.message


async def test_an_error_names_the_lines_of_the_code_and_no_others(server: JobServer, tmp_path: Path) -> None:
    """Kind, message, and the way through the tenant's own functions, the innermost last (S26)."""
    code = "def helper(b):\n    return b['nope']\n\ndef transform(batches, params):\n    for b in batches.pandas():\n        yield helper(b)\n"
    error = await stopped(server, tmp_path, code)
    assert error.message == "The transform failed: line 2: KeyError: 'nope'"
    assert [(place.line, place.function, place.text) for place in error.lines] == [
        (6, "transform", "yield helper(b)"),
        (2, "helper", "return b['nope']"),
    ]
