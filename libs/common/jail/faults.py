"""Failures of our own code in a child: whose data it was is no matter, and doing it again does not help."""

import secrets

import structlog

from libs.common.jail.errors import JobFailed

_LOG = structlog.get_logger(__name__)


def fault_of(error: Exception, work: str) -> str | None:
    """Log where our own code failed, and return what people are told; None where it was not our code that did.

    Nothing is logged of what the code worked on: the kind of error and the lines, no message.
    """
    if not isinstance(error, JobFailed) or error.is_circumstance:
        return None
    name = secrets.token_hex(6)
    _LOG.error("job.fault", fault=name, work=work, kind=error.kind, trace=list(error.trace))
    return f"Our own code failed, and would again; the log has it as {name}."
