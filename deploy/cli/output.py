"""What the commands print, and how they ask for a password."""

import argparse
import getpass
import json
import sys
from typing import Any

from libs.common.errors import Refusal


def show(chosen: argparse.Namespace, result: dict[str, Any]) -> None:
    """Print a result: a line per field, or one JSON object."""
    if chosen.json:
        print(json.dumps(result, default=str))
        return
    width = max(len(name) for name in result)
    for name, value in result.items():
        print(f"{name:<{width}}  {value}")


def show_table(chosen: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Print rows: a line each, or one JSON array."""
    if chosen.json:
        print(json.dumps(rows, default=str))
        return
    for row in rows:
        print("  ".join(str(value) for value in row.values()))


def explain(refusal: Refusal) -> str:
    """Return a refusal as a sentence for a person."""
    fields = "; ".join(f"{problem.field.strip('/')} {problem.message}" for problem in refusal.fields)
    return f"{refusal.detail} {fields}".strip()


def add_password(parser: argparse.ArgumentParser) -> None:
    """Let a command take a password from standard input; otherwise it asks."""
    parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")


def read_password(chosen: argparse.Namespace) -> str:
    """Return the password: the first line of standard input, or what is typed twice.

    Raises:
        SystemExit: what was typed differs.
    """
    if chosen.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        raise SystemExit("regent: the two passwords differ")
    return first
