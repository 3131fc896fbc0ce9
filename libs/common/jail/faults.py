"""Failures of our own code in a child: whose data it was is no matter, and doing it again does not help."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import structlog

from libs.common.jail.errors import JobFailed

_LOG = structlog.get_logger(__name__)
_MOST_FRAMES = 30
_ROOT = f"{Path(__file__).parents[3]}/"


def fault_of(error: Exception, work: str) -> str | None:
    """Log where our own code failed, and return what people are told; None where it was not our code that did.

    Nothing is logged of what the code worked on: the kind of error and the lines, no message.
    """
    if not isinstance(error, JobFailed) or error.is_circumstance:
        return None
    name = secrets.token_hex(6)
    _LOG.error("job.fault", fault=name, work=work, kind=error.kind, trace=list(error.trace))
    return f"Our own code failed, and would again; the log has it as {name}."


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
