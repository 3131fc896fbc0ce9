"""`regent keys ...`: the key rings of auth, catalog and audit, and the keys below them."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from deploy.cli import data_keys
from deploy.cli.output import show, show_table
from deploy.cli.rings import KEEPING, Keeping, RingFile, fresh_ring, newest
from libs.common.crypto.canaries import canary_faults
from libs.common.crypto.holdings import note_extended, retire
from libs.common.errors import Conflict, Unavailable
from libs.common.ids import tenant_named

_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 60.0


def add_to(groups: Any) -> None:
    """Add the group's parser."""
    commands = groups.add_parser("keys", help="key rings").add_subparsers(required=True, metavar="<command>")
    for verb, run, text in (
        ("generate", _generate, "add a key to the rings, not active yet"),
        ("check", _check, "compare the rings with what is stored"),
        ("status", _status, "show which keys protect how many rows"),
        ("rotate", _rotate, "make the newest key active and wait until it protects everything"),
        ("retire", _retire, "take a key out of the rings; refused while anything needs it"),
        ("rotate-dek", _rotate_dek, "give a tenant new data keys and wait until its secrets are sealed under them"),
    ):
        command = commands.add_parser(verb, help=text)
        command.add_argument("--service", choices=[each.service for each in KEEPING], help="of one service only")
        command.set_defaults(run=run)
        if verb == "generate":
            command.add_argument("--kms", metavar="KEY", help="have the key made and wrapped by this key of the KMS")
            command.add_argument("--print", action="store_true", help="print a whole new ring instead of adding to one")
        if verb == "rotate":
            command.add_argument("--to", metavar="KID", help="this key instead of the newest")
        if verb == "retire":
            command.add_argument("kid", help="the key's id")
        if verb == "rotate-dek":
            command.add_argument("tenant", type=tenant_named, help="the tenant's id, or `system`")
    replace = commands.add_parser("replace-signing-key", help="give audit another key to sign checkpoints with")
    replace.set_defaults(run=_replace_signing_key)


async def _generate(chosen: argparse.Namespace) -> None:
    if chosen.print:
        service = chosen.service or KEEPING[0].service
        print(await asyncio.to_thread(fresh_ring, service, chosen.kms))
        return
    made = []
    for each in _chosen(chosen):
        key_id = await asyncio.to_thread(RingFile.of(each.service).add, chosen.kms)
        async with each.transaction("server") as tx:
            await note_extended(tx, key_id)
        made.append({"service": each.service, "key": key_id, "state": "held"})
    show_table(chosen, made)


async def _check(chosen: argparse.Namespace) -> None:
    faults = [fault for each in _chosen(chosen) for fault in await _faults(each)]
    if faults:
        raise SystemExit("\n".join(f"regent: {fault}" for fault in faults))
    show(chosen, {"key rings": "sound", "services": ", ".join(each.service for each in _chosen(chosen))})


async def _faults(each: Keeping) -> list[str]:
    try:
        ring = await asyncio.to_thread(RingFile.of(each.service).ring)
    except SystemExit as fault:
        return [f"{each.service}: {fault}"]
    async with each.transaction() as tx:
        wrong = await canary_faults(tx.connection, ring)
    lost = {key: rows for key, rows in (await each.rows()).items() if not ring.holds(key)}
    return [
        *(f"{each.service}: key {key!r} is another than the one that sealed the stored secrets" for key in wrong),
        *(
            f"{each.service}: key {key!r} is missing; it protects {n} {each.holding.protects}"
            for key, n in lost.items()
        ),
    ]


async def _status(chosen: argparse.Namespace) -> None:
    rows = []
    for each in _chosen(chosen):
        ring, used = await asyncio.to_thread(RingFile.of(each.service).ring), await each.rows()
        for key in sorted(ring.ids() | used.keys()):
            state = "active" if key == ring.active else "held" if ring.holds(key) else "MISSING"
            rows.append({"service": each.service, "key": key, "state": state, "rows": used.get(key, 0)})
    show_table(chosen, rows)


async def _rotate(chosen: argparse.Namespace) -> None:
    """Turn the rings, then watch the services move their rows; stopped and begun again, it goes on."""
    turned = []
    for each in _chosen(chosen):
        file = RingFile.of(each.service)
        key_id = chosen.to or newest(await asyncio.to_thread(file.ring))
        await asyncio.to_thread(file.activate, key_id)
        turned.append((each, key_id))
    for each, key_id in turned:
        await _until_moved(each, key_id)
    show_table(chosen, [{"service": each.service, "key": key_id, "state": "active"} for each, key_id in turned])


async def _until_moved(each: Keeping, key_id: str) -> None:
    """Print how far the service is until nothing is left under another key.

    Raises:
        Unavailable: for a minute nothing moved.
    """
    waited, before = 0.0, -1
    while True:
        used = await each.rows()
        left = sum(rows for key, rows in used.items() if key != key_id)
        if left != before:
            waited, before = 0.0, left
            print(f"{each.service}: {used.get(key_id, 0)} rows under {key_id}, {left} to go", file=sys.stderr)
        if not left and await _marked(each, key_id):
            return
        if waited >= _PATIENCE_SECONDS:
            raise Unavailable(
                f"{each.service} moves nothing to {key_id}: does it run, and follow this ring? Begin again then."
            )
        await asyncio.sleep(_POLL_SECONDS)
        waited += _POLL_SECONDS


async def _marked(each: Keeping, key_id: str) -> bool:
    """Say whether the service has taken the key up."""
    async with each.transaction() as tx:
        return bool(await tx.connection.fetchval("SELECT EXISTS (SELECT FROM key_canary WHERE key_id = $1)", key_id))


async def _retire(chosen: argparse.Namespace) -> None:
    """Look at all rings before the first is changed."""
    held = [each for each in _chosen(chosen) if await _holds(each, chosen.kid)]
    for each in held:
        RingFile.of(each.service).require_idle(chosen.kid)
        if rows := (await each.rows()).get(chosen.kid):
            raise Conflict(f"Key {chosen.kid} still protects {rows} {each.holding.protects} of {each.service}.")
    for each in held:
        async with each.transaction() as tx:
            await retire(tx, each.holding, chosen.kid)
        await asyncio.to_thread(RingFile.of(each.service).remove, chosen.kid)
    show_table(chosen, [{"service": each.service, "key": chosen.kid, "state": "retired"} for each in held])


async def _rotate_dek(chosen: argparse.Namespace) -> None:
    await data_keys.rotate(chosen, _chosen(chosen))


async def _replace_signing_key(chosen: argparse.Namespace) -> None:
    await data_keys.replace_signing_key(chosen, next(each for each in KEEPING if each.service == "audit"))


async def _holds(each: Keeping, key_id: str) -> bool:
    return (await asyncio.to_thread(RingFile.of(each.service).ring)).holds(key_id)


def _chosen(chosen: argparse.Namespace) -> Sequence[Keeping]:
    return [each for each in KEEPING if chosen.service in (None, each.service)]
