"""`regent`: what an operator does on the machine itself, as `python -m deploy.cli`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

import asyncpg

from deploy.cli import announce, audit, clients, dlq, keys, mail, setup, tenants, users
from deploy.cli.output import explain
from libs.common.errors import Refusal

GROUPS = (tenants, users, clients, setup, announce, dlq, mail, audit, keys)
"""One module per group of commands; each adds its own parser."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="regent", description="Work on the Regent of this machine (REGENT_DATA).")
    top.add_argument("--json", action="store_true", help="print the result as JSON")
    groups = top.add_subparsers(required=True, metavar="<group>")
    for group in GROUPS:
        group.add_to(groups)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command and run it; returns the exit code."""
    chosen = parser().parse_args(arguments)
    try:
        asyncio.run(chosen.run(chosen))
    except Refusal as refusal:
        print(f"regent: {explain(refusal)}", file=sys.stderr)
        return 1
    except (OSError, asyncpg.PostgresError) as error:
        print(f"regent: the database does not answer; is Regent running? ({error})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
