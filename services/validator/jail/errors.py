"""What people are told of an error of their own code: its kind, its words, the lines on the way to it, what was meant."""

import builtins
import errno
import linecache
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from types import FrameType, GeneratorType
from typing import Any

import pandas as pd
import pyarrow as pa

from libs.common.nearest import nearest_name
from libs.transforms.python_text import MODULE
from services.validator.jail.unfit import UnfitResultError

_MOST_MESSAGE, _MOST_NAME, _MOST_LINES = 1000, 200, 20
_MOST_NAMES = 2000
_PLACE_OF_MODULE = re.compile(r" \((/[^)]*|unknown location)\)")
_NAME_WANTED = re.compile(r"cannot import name '(\w+)'")
_PARAMETER = re.compile(r"\bparams\[")
_OURS: Mapping[type[BaseException], str] = {
    SystemExit: "the code ended itself; it is done when transform returns",
    MemoryError: "the transform needs more memory than it may use",
}


def told(error: BaseException, returned: object, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of an error; `returned` is what `transform` gave, which may stand at a `yield`."""
    lines = _lines(error) or list(_standing(returned))
    kind = "transform" if isinstance(error, UnfitResultError) else type(error).__name__
    message = "".join(_message(error, lines, params))
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        kind, message = "ResultTooLarge", "the rows take more room than a transform may fill"
    if isinstance(error, MemoryError | pa.ArrowMemoryError):
        kind = "MemoryError"
    return {"kind": kind[:_MOST_NAME], "message": message[:_MOST_MESSAGE], "lines": lines[-_MOST_LINES:]}


def _message(error: BaseException, lines: list[dict[str, Any]], params: Mapping[str, Any]) -> Iterator[str]:
    yield _words(error)
    near = _near(error)
    if near:
        yield f"; did you mean {near!r}?"
    if isinstance(error, KeyError) and lines and _PARAMETER.search(lines[-1]["text"]):
        yield f"; the report's params are {', '.join(params) or 'none'}"
    if isinstance(error, OSError):
        yield " (a transform has no files and no network)"
    yield from (f"\n{note}" for note in getattr(error, "__notes__", ()))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = _lines(cause) if cause else []
    if cause and before:
        yield f" (after line {before[-1]['line']}: {type(cause).__name__}: {_words(cause)[:_MOST_NAME]})"


def _words(error: BaseException) -> str:
    try:
        words = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception as second:  # it is the tenant's
        return f"it has no words, for its own text fails: {type(second).__name__}"
    ours = _OURS.get(type(error), "")
    if isinstance(error, SystemExit) and error.code not in (None, 0):
        return f"{words} ({ours})"
    if isinstance(error, ImportError) and ".so: " in words:
        return f"the native code of {error.name or 'it'} is not there in a transform"
    if isinstance(error, ImportError):
        return _PLACE_OF_MODULE.sub("", words)
    return ours if isinstance(error, SystemExit) else words or ours


def _lines(error: BaseException) -> list[dict[str, Any]]:
    """Return the lines of the tenant's code on the way to an error, the innermost last."""
    walked = traceback.walk_tb(error.__traceback__)
    lines = [_line(frame, number) for frame, number in walked if frame.f_code.co_filename == MODULE and number]
    if isinstance(error, SyntaxError) and error.filename == MODULE and error.lineno:
        lines.append({"line": error.lineno, "function": "", "text": (error.text or "").strip()[:_MOST_NAME]})
    return lines


def _standing(returned: object) -> Iterator[dict[str, Any]]:
    """Yield the lines at which a generator waits: it has yielded what is wrong."""
    while isinstance(returned, GeneratorType) and returned.gi_frame is not None:
        if returned.gi_frame.f_code.co_filename == MODULE:
            yield _line(returned.gi_frame, returned.gi_frame.f_lineno)
        returned = returned.gi_yieldfrom


def _line(frame: FrameType, number: int) -> dict[str, Any]:
    text = linecache.getline(MODULE, number).strip()
    return {"line": number, "function": frame.f_code.co_name[:_MOST_NAME], "text": text[:_MOST_NAME]}


def _near(error: BaseException) -> str | None:
    """Return the name that was meant where one is not there."""
    try:
        wanted, known = _wanted(error)
    except Exception:  # names are asked of the tenant's own objects
        return None
    return nearest_name(wanted, known[:_MOST_NAMES]) if wanted and known else None


def _wanted(error: BaseException) -> tuple[str, list[str]]:
    """Return the name that is not there, and those that are."""
    if isinstance(error, NameError) and error.name:
        frame = _innermost(error)
        return error.name, [*frame.f_locals, *frame.f_globals, *dir(builtins)]
    if isinstance(error, AttributeError) and error.name:
        return error.name, [name for name in dir(error.obj) if not name.startswith("_")]
    if isinstance(error, KeyError) and isinstance(error.args[0], str):
        return error.args[0], [*_keys(_innermost(error).f_locals.values())]
    found = _NAME_WANTED.match(str(error)) if isinstance(error, ImportError) else None
    return (
        (found[1], dir(sys.modules[error.name]))
        if found and isinstance(error, ImportError) and error.name
        else ("", [])
    )


def _innermost(error: BaseException) -> FrameType:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == MODULE]
    return frames[-1]


def _keys(values: Iterable[object]) -> Iterator[str]:
    """Yield the names that rows, frames and tables at hand have."""
    for value in values:
        if isinstance(value, pd.DataFrame | dict):
            yield from (key for key in value if isinstance(key, str))
        elif isinstance(value, pa.Table | pa.RecordBatch):
            yield from value.schema.names
