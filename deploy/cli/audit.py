"""`regent audit verify`: check an exported trail, offline, with the auditor's own tool."""

import argparse
from typing import Any

from deploy.verify import regent_verify


def add_to(groups: Any) -> None:
    """Add the group's parser."""
    commands = groups.add_parser("audit", help="the audit trail").add_subparsers(required=True, metavar="<command>")
    verify = commands.add_parser("verify", help="check an exported trail against checkpoints kept aside")
    verify.add_argument("arguments", nargs=argparse.REMAINDER, help="TRAIL --key KEY --checkpoint NOTE ...")
    verify.set_defaults(run=_verify)


async def _verify(chosen: argparse.Namespace) -> None:
    raise SystemExit(regent_verify.main(chosen.arguments))
