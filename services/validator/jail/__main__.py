"""The validator's jail as a process: `python -m services.validator.jail <directory> [auto|namespaces|runtimeclass]`.

It is told nothing but where its sockets lie and what must hold it, and has no network, no credentials, no environment.
Where a layer is missing it does not start.
"""

import argparse
import sys
from pathlib import Path
from typing import get_args

from libs.common.jail import ConfinementError, WarmParent, host
from libs.common.jail.isolation import Isolation
from libs.common.telemetry.logs import configure_logs
from services.validator.jail.broker import ENTRY, PRELOAD, REHEARSAL, RULES, WARM
from services.validator.jail.transforms import TRANSFORMS
from services.validator.jail.transforms import parent as transforms

PARENTS = {
    RULES: WarmParent(ENTRY, PRELOAD, WARM, rehearsal=REHEARSAL, spares=1, plain_spares=1),
    TRANSFORMS: transforms(),
}


def main() -> None:
    """Be the jail until told to stop."""
    arguments = argparse.ArgumentParser(prog="services.validator.jail", description="the validator's jail")
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("isolation", nargs="?", default="auto", choices=get_args(Isolation))
    given = arguments.parse_args()
    configure_logs("jail", format="json", level="info")
    try:
        host.run(given.directory, PARENTS, given.isolation)
    except (ConfinementError, OSError) as error:
        sys.exit(f"jail: {error}")


if __name__ == "__main__":
    main()
