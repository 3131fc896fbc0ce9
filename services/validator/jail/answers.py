"""What transforms' jobs answer and say, none of which is believed as it comes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeInt, ValidationError

from libs.common.jail import Report
from libs.common.vocabulary.base import Strict
from services.validator.jail.diary import MOST_BYTES


class Place(Strict):
    """A line of the tenant's own code on the way to an error."""

    line: int = Field(ge=0, le=10_000_000)
    function: str = Field(max_length=200)
    text: str = Field(max_length=200)


class Fault(Strict):
    """What went wrong, as the job says it: the kind, the message, the lines, innermost last."""

    kind: str = Field(max_length=200)
    message: str = Field(max_length=2000)
    lines: tuple[Place, ...] = Field(default=(), max_length=20)


class Counted(Strict):
    """What the gate counted: rows, the records behind them, the records dropped."""

    rows: NonNegativeInt
    used: NonNegativeInt
    dropped: NonNegativeInt


class ShownRow(Strict):
    """A row as people see it: the records behind it, what the code calls it, its values, numbers with decimals as text."""

    places: tuple[NonNegativeInt, ...]
    key: str | None
    values: dict[str, str | int | bool | None]


class ShownDrop(Strict):
    """A record that was dropped, and why."""

    place: NonNegativeInt
    reason: str | None


class Shown(Strict):
    """What a tried transform made: how much, and the first of it."""

    rows: NonNegativeInt
    dropped: NonNegativeInt
    shown: tuple[ShownRow, ...]
    drops: tuple[ShownDrop, ...]


class TransformStoppedError(Exception):
    """A transform gave no rows that may be used. `code` is for programs, `message` for people, `took` what it used."""

    took: Report | None = None

    def __init__(self, code: str, message: str, lines: Sequence[Place] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.lines = tuple(lines)


def refuse_fault(answer: Any, code: str) -> None:
    """Raise what the answer of a job says went wrong; the words are the tenant's, and are cut and cleaned.

    Raises:
        TransformStoppedError: something did.
    """
    if not isinstance(answer, dict) or "error" not in answer:
        return
    try:
        fault = Fault.model_validate(answer["error"])
    except ValidationError:
        raise TransformStoppedError(code, "The transform failed and did not say how.") from None
    if fault.kind == "rows":
        raise TransformStoppedError("bad-rows", f"The transform's rows cannot be used: {clean(fault.message)}.")
    codes = {"ResultTooLarge": "result-too-large", "MemoryError": "memory-limit"}
    where = f"line {fault.lines[-1].line}: " if fault.lines else ""
    said = (
        f"{clean(fault.kind)}: {clean(fault.message)}".removesuffix(": ")
        if fault.kind not in ("transform", "sql", "ResultTooLarge")
        else clean(fault.message)
    )
    lines = [
        place.model_copy(update={"text": clean(place.text), "function": clean(place.function)}) for place in fault.lines
    ]
    raise TransformStoppedError(codes.get(fault.kind, code), f"The transform failed: {where}{said}", lines)


def clean(text: str) -> str:
    """Return what may be shown of tenants' words: no control characters but line breaks and tabs."""
    kept = "".join(char if char.isprintable() or char in "\n\t" else " " for char in text)
    return kept.encode("utf-8", "replace").decode()


def log_excerpt(scratch: Path, most: int = 64 * 1024) -> str:
    """Return the beginning and the end of what was said, `most` bytes at most, cleaned."""
    path = scratch / "log.txt"
    if not path.exists():
        return ""
    with path.open("rb") as file:
        size = min(path.stat().st_size, MOST_BYTES)
        if size <= most:
            return clean(file.read(size).decode("utf-8", "replace"))
        half = most // 2 - 20
        begin = file.read(half)
        file.seek(size - half)
        end = file.read(half)
    return clean(f"{begin.decode('utf-8', 'replace')}\n[...]\n{end.decode('utf-8', 'replace')}")
