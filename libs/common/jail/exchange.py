"""One job's private descriptors: its request, its result, the pipe that proves confinement; and what is believed of them."""

import fcntl
import json
import math
import os
import re
import struct
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, NoReturn, Self

from libs.common.jail.errors import ConfinementError, JobCrashed, JobFailed, JobTimedOut
from libs.common.jail.isolation import LAYERS, PORTABLE
from libs.common.jail.limits import Limits
from libs.common.jail.report import Report

LENGTH = struct.Struct("=Q")
"""What a result begins with: how many bytes of JSON follow."""

_FIXED = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
_READ_ONLY = _FIXED | fcntl.F_SEAL_WRITE
_MOST_VALUES, _BYTES_A_VALUE = 250_000, 16
_PROOF_BYTES = 1024
_MOST_NUMBER = 1 << 63
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_KIND, _MESSAGE, _LINE, _LINES = 100, 2000, 200, 30


class Exchange:
    """The request, result and proof of one job; closes them at the end.

    The result's file has its full size from the start, and is sealed: whoever writes it cannot make it larger.
    """

    def __init__(
        self, job: dict[str, Any], limits: Limits, *, call: str = "job", required: Collection[str] = PORTABLE
    ) -> None:
        self._limit = limits.result_bytes
        self._required = frozenset(required)
        self.layers: frozenset[str] = frozenset()
        self.size = 0
        self._request = sealed(json.dumps({"call": call, "job": job, "limits": limits.to_dict()}).encode())
        self._result = os.memfd_create("result", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self._result, LENGTH.size + self._limit)
        fcntl.fcntl(self._result, fcntl.F_ADD_SEALS, _FIXED)
        self._proof, self._prove = os.pipe()
        os.set_blocking(self._proof, False)
        self.descriptors = (self._request, self._result, self._prove)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in (*self.descriptors, self._proof):
            os.close(descriptor)

    def answer(self, report: Report) -> Any:
        """Return the job's value, or raise what became of it.

        Raises:
            JobFailed, JobCrashed, JobTimedOut, ConfinementError: see `JobServer.run`.
        """
        self.layers = self._proven()
        missing = self._required - self.layers
        if report.timed_out:
            raise JobTimedOut("the job ran out of wall time and was killed")
        if report.code < 0:
            raise JobCrashed(signal=-report.code)
        result = self._read()
        if missing:
            told = _text(result.get("message", ""), _MESSAGE) if not self.layers else ""
            raise ConfinementError(told or f"layers are missing: {', '.join(sorted(missing))}")
        if "kind" in result:
            raise _failure(result)
        if report.code != 0 or "value" not in result:
            raise JobCrashed(signal=0, code=report.code)
        return result["value"]

    def _proven(self) -> frozenset[str]:
        """Return the layers that the child said it had on, before it ran anything."""
        with suppress(BlockingIOError, UnicodeDecodeError):
            return frozenset(os.read(self._proof, _PROOF_BYTES).decode("ascii").split()) & LAYERS
        return frozenset()

    def _read(self) -> dict[str, Any]:
        (size,) = LENGTH.unpack(os.pread(self._result, LENGTH.size, 0))
        if size > self._limit:
            raise JobFailed("ResultTooLarge", f"{size} bytes, at most {self._limit} are allowed")
        self.size = size
        return parsed(os.pread(self._result, size, LENGTH.size), max(_MOST_VALUES, self._limit // _BYTES_A_VALUE))


def _failure(result: Mapping[str, Any]) -> JobFailed:
    trace = result.get("trace")
    lines = [_text(line, _LINE) for line in trace[:_LINES]] if isinstance(trace, list) else []
    return JobFailed(_text(result["kind"], _KIND), _text(result.get("message", ""), _MESSAGE), lines)


def proof_of(layers: Iterable[str]) -> bytes:
    """Return what a child writes to its proof when the last layer is on."""
    return " ".join(layers).encode("ascii")


def parsed(data: bytes, most: int = _MOST_VALUES) -> dict[str, Any]:
    """Return the object that untrusted JSON holds; an empty one where there is none, or one of too many values.

    Small data can stand for many times as much memory: what opens and separates values is counted first.
    """
    if data.count(b",") + data.count(b"[") + data.count(b"{") > most:
        raise JobFailed("ResultTooLarge", f"more than {most} values")
    try:
        result = _loaded(data or b"{}")
        if _HALF.search(data):  # half a character could not be passed on
            result = _loaded(json.dumps(result, ensure_ascii=False).encode(errors="replace"))
    except (ValueError, RecursionError):
        return {}
    return result if isinstance(result, dict) else {}


def _loaded(data: bytes) -> Any:
    return json.loads(data, parse_constant=_refuse, parse_float=_finite, parse_int=_small)


def sealed(data: bytes) -> int:
    """Return a descriptor of memory that holds `data` and that nobody can change."""
    descriptor = os.memfd_create("sealed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(data)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _READ_ONLY)
    return descriptor


def _text(value: object, most: int) -> str:
    """Return what may be shown of a job's words: no control characters, no lone surrogates, not too much."""
    shown = "".join(character if character.isprintable() else " " for character in str(value)[:most])
    return shown.encode(errors="replace").decode()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _small(text: str) -> int:
    value = int(text)
    if not -_MOST_NUMBER <= value < _MOST_NUMBER:
        raise ValueError(text)
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value
