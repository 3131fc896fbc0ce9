"""What a forkserver says of a job's end; nothing of it is believed that cannot be."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from libs.common.jail import wire

_MOST_SIGNAL, _MOST_CODE, _MOST_NUMBER = 64, 255, 1 << 53


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a job's process, as the forkserver tells it: exit code or minus the signal, seconds, bytes."""

    code: int
    timed_out: bool
    cpu_seconds: float
    peak_rss: int
    overfull: bool = False

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Self:
        """Read a forkserver's message.

        Raises:
            MalformedError: it says what cannot be.
        """
        code = _whole(message.get("code"), -_MOST_SIGNAL, _MOST_CODE)
        cpu: Any = message.get("cpu_seconds")
        if type(cpu) not in (int, float) or not math.isfinite(cpu) or not 0 <= cpu < _MOST_NUMBER:
            raise wire.MalformedError("not a report")
        timed_out, overfull = (message.get(name) is True for name in ("timed_out", "overfull"))
        return cls(code, timed_out, float(cpu), _whole(message.get("peak_rss"), 0, _MOST_NUMBER), overfull)


def _whole(value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise wire.MalformedError("not a report")
    return value
