"""Jobs that fill what they were given: file after file, files without names, directories without end."""

import itertools
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def scatter(job: dict[str, Any], files: Sequence[int]) -> None:
    """Write file after file below a directory, and below directories in it."""
    for count in itertools.count():
        below = f"/proc/self/fd/{files[0]}/{count % 7}"
        os.makedirs(below, exist_ok=True)  # noqa: PTH103
        Path(f"{below}/{count}").write_bytes(b"x" * job["bytes"])


def hide(job: dict[str, Any], files: Sequence[int]) -> None:
    """Fill file after file, each without a name by then."""
    place, kept = f"/proc/self/fd/{files[0]}", []
    for count in range(200):
        if job["way"] == "nameless":
            kept.append(os.open(place, os.O_TMPFILE | os.O_RDWR, 0o600))
        else:
            kept.append(os.open(f"{place}/{count}", os.O_CREAT | os.O_RDWR, 0o600))
            os.unlink(f"{place}/{count}")  # noqa: PTH108
        os.write(kept[-1], b"x" * job["bytes"])
        time.sleep(0.001)
    time.sleep(600)


def dig(job: dict[str, Any], files: Sequence[int]) -> None:
    """Make a directory in a directory, and so on, further than any path reaches."""
    place = files[0]
    for _ in range(3000):
        os.mkdir("a" * 100, dir_fd=place)
        place = os.open("a" * 100, os.O_RDONLY | os.O_DIRECTORY, dir_fd=place)
        os.dup2(place, 60)
        os.close(place)
        place = 60
    time.sleep(600)
