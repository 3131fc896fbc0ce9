"""What the validator tells of the jail and of the code in it."""

from libs.common.events.envelope import Data


class JailRefused(Data):
    """A job behind the wall was not let in, or its answer was none: `code` says which. Nothing of it is kept."""

    kind: str
    code: str
    wall_seconds: float
    cpu_seconds: float
    peak_rss: int


class JailKilled(Data):
    """A job behind the wall was ended by force: by a limit, by a signal of its own making, or for a forbidden call.

    `code` is `wall`, the name of another limit, or `signal-` and its number; `signal-31` is what only attacks do.
    """

    kind: str
    code: str
    wall_seconds: float
    cpu_seconds: float
    peak_rss: int


class CodeLine(Data):
    """A line of a transform's own code on the way to an error."""

    line: int
    function: str
    text: str
