"""`python -m deploy.local up` or `demo`."""

import argparse
import sys

from deploy.local.launcher import run


def main() -> int:
    """Read the command and run it."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description="Regent on one machine.")
    parser.add_argument("command", choices=("up", "demo"), help="up: start everything; demo: and run the main job")
    return run(parser.parse_args().command)


if __name__ == "__main__":
    sys.exit(main())
