"""Jobs that fill what they were given: file after file, files without names, whoever holds them."""

import ctypes
import itertools
import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_EXIT, _RENAME = (60, 316) if os.uname().machine == "x86_64" else (93, 276)
_WHITEOUT = 4


def scatter(job: dict[str, Any], files: Sequence[int]) -> None:
    """Write file after file in a directory."""
    for count in itertools.count():
        Path(f"/proc/self/fd/{files[0]}/{count}").write_bytes(b"x" * job["bytes"])


def hide(job: dict[str, Any], files: Sequence[int]) -> None:
    """Fill file after file, each without a name by then."""
    if job["way"] == "beheaded":  # the first thread, by which a process is known, leaves; another goes on
        threading.Thread(target=_fill, args=(files[0], job)).start()
        ctypes.CDLL(None).syscall(_EXIT, 0)
    _fill(files[0], job)


def _fill(directory: int, job: dict[str, Any]) -> None:
    kept = []
    time.sleep(0.1)
    for count in range(50):
        if job["way"] == "nameless":
            kept.append(os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600, dir_fd=directory))
        else:
            kept.append(os.open(f"{count}", os.O_CREAT | os.O_RDWR, 0o600, dir_fd=directory))
            os.unlink(f"{count}", dir_fd=directory)
        os.write(kept[-1], b"x" * job["bytes"])
        time.sleep(0.001)
    time.sleep(600)


def build(job: dict[str, Any], files: Sequence[int]) -> dict[str, bool]:
    """Make a file, and try to make everything else that a directory can hold; tell what there is of it."""
    place, libc = files[0], ctypes.CDLL(None)
    os.close(os.open("a", os.O_CREAT, 0o600, dir_fd=place))
    attempts: dict[str, Callable[[], object]] = {
        "directory": lambda: os.mkdir("b", dir_fd=place),
        "link": lambda: os.symlink("/etc/passwd", "b", dir_fd=place),
        "second name": lambda: os.link("a", "b", src_dir_fd=place, dst_dir_fd=place),
        "pipe": lambda: os.mkfifo("b", dir_fd=place),
        "device": lambda: os.mknod("b", 0o600 | stat.S_IFCHR, 0x103, dir_fd=place),
        "device for a name": lambda: libc.syscall(_RENAME, place, b"a", place, b"b", _WHITEOUT),
    }
    return {name: True for name, attempt in attempts.items() if _done(attempt) and os.listdir(place) != ["a"]}  # noqa: PTH208


def supersede(job: dict[str, Any], files: Sequence[int]) -> list[str]:
    """Write a file beside another one and put it in its place, as engines do with what is there already."""
    new = Path(f"/proc/self/fd/{files[0]}/new")
    new.write_text("new")
    new.rename(new.with_name("old"))
    return os.listdir(files[0])  # noqa: PTH208


def _done(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True
