"""What a process has in its memory, its environment and its command line, as an attacker inside it would find."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil  # type: ignore[import-untyped]

_REGION = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw(?:(?!^Rss).)*^Rss: +[1-9]", re.MULTILINE | re.DOTALL)
"""Writable memory of which some is there; the rest was only asked for."""
_CHUNK = 1 << 22
_OVERLAP = 256


def descendants(pid: int) -> list[int]:
    """Return the ids of all processes below one."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def found_in(pid: int, needles: Mapping[str, bytes]) -> set[str]:
    """Return the names of the needles that a process holds anywhere; a process that ended holds nothing."""
    found: set[str] = set()
    with contextlib.suppress(OSError):
        for part in _parts(pid):
            found |= {name for name, needle in needles.items() if needle in part}
    return found


def _parts(pid: int) -> Iterator[bytes]:
    place = Path(f"/proc/{pid}")
    yield (place / "cmdline").read_bytes()
    yield (place / "environ").read_bytes()
    with (place / "mem").open("rb", buffering=0) as memory:
        for start, end in _REGION.findall((place / "smaps").read_text()):
            yield from _region(memory, int(start, 16), int(end, 16))


def _region(memory: object, start: int, end: int) -> Iterator[bytes]:
    position = start
    while position < end:
        try:
            memory.seek(position)  # type: ignore[attr-defined]
            yield memory.read(min(_CHUNK + _OVERLAP, end - position)) or b""  # type: ignore[attr-defined]
        except (OSError, ValueError):  # a page that is not there
            return
        position += _CHUNK
