"""What a warm parent carries every fork copies, and every jail holds: it is what children use, and no more."""

import subprocess
import sys
from pathlib import Path

from services.validator.jail.broker import PRELOAD

ROOT = Path(__file__).parents[2]
_BROKERS = "'asyncio', 'structlog', 'libs.common.jail.server', 'libs.common.jail.connection', 'pandas', 'sqlalchemy'"


def test_the_parent_of_validations_carries_nothing_of_the_broker() -> None:
    """No event loop, no log, no client of the jail, no data frames: forty libraries less to lay out for each job."""
    asked = f"import sys, {', '.join(('libs.common.jail.forkserver', *PRELOAD))}; print(sorted({{{_BROKERS}}} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=ROOT)  # noqa: S603 - ours
    assert told.stdout.splitlines()[0] == "[]"
