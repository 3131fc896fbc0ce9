"""The validator's jail as a process: `python -m services.validator.jail <directory>`.

It is told nothing but where its sockets lie, and holds nothing: no network, no credentials, no environment.
"""

import sys
from pathlib import Path

from libs.common.jail import WarmParent, host
from libs.common.telemetry.logs import configure_logs
from services.validator.jail.broker import ENTRY, PRELOAD, REHEARSAL, RULES, WARM
from services.validator.jail.transforms import TRANSFORMS
from services.validator.jail.transforms import parent as transforms

PARENTS = {
    RULES: WarmParent(ENTRY, PRELOAD, WARM, rehearsal=REHEARSAL, spares=2),
    TRANSFORMS: transforms(),
}


def main() -> None:
    """Be the jail until told to stop."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its directory
        sys.exit("usage: python -m services.validator.jail <directory>")
    configure_logs("jail", format="json", level="info")
    host.run(Path(sys.argv[1]), PARENTS)


if __name__ == "__main__":
    main()
