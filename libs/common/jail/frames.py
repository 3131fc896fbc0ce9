"""Where something was raised, in words that tell nothing of this machine."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

_MOST_FRAMES = 30
_ROOT = f"{Path(__file__).parents[3]}/"


def frames_of(trace: TracebackType | None) -> list[str]:
    """Return the lines that led to an error, the innermost last, as `path:line function`."""
    return list(_frames(trace))[-_MOST_FRAMES:]


def _frames(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        code = trace.tb_frame.f_code
        yield f"{_short(code.co_filename)}:{trace.tb_lineno} {code.co_name}"
        trace = trace.tb_next


def _short(path: str) -> str:
    """Return a path from our own root on, of others' modules the last two parts."""
    own = path.removeprefix(_ROOT)
    return own if own != path else "/".join(path.split("/")[-2:])
