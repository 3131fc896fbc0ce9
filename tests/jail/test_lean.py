"""What a warm parent carries every fork copies, and every jail holds: it is what children use, and no more."""

import subprocess
import sys
from pathlib import Path

from services.validator.jail.broker import PRELOAD

ROOT = Path(__file__).parents[2]
_FOREIGN = {
    "asyncio", "structlog", "sqlalchemy", "libs.common.jail.server", "libs.common.jail.connection",
    "pandas", "numpy", "pyarrow._s3fs", "pyarrow._gcsfs", "pyarrow._azurefs", "pyarrow._hdfs",
}  # fmt: skip
_ASKED = f"""
import sys, libs.common.jail.forkserver
from libs.common.jail.settling import preload
preload({PRELOAD!r})
print(sorted(sys.modules.keys() & {_FOREIGN!r}))
"""


def test_the_parent_of_validations_carries_what_they_use() -> None:
    """No event loop, no log, no client of the jail or of a store, no data frames, no arrays."""
    command = [sys.executable, "-c", _ASKED]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)  # noqa: S603 - ours
    assert told.stdout.splitlines()[0] == "[]"
