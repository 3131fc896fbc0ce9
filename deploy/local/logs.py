"""One terminal for many programs: each line with the name of who said it."""

import os
import sys
from pathlib import Path
from typing import TextIO

from deploy.local.files import private_directory

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_WIDTH = 12


def coloured(stream: TextIO) -> bool:
    """Tell whether a person with colours reads the stream (see no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


class Printer:
    """Prints lines under coloured names, and keeps each program's lines of this start in a file of its own."""

    def __init__(self, directory: Path, stream: TextIO = sys.stdout, *, quiet: bool = False) -> None:
        self._directory = directory
        self._stream = stream
        self._quiet = quiet
        self._coloured = coloured(stream)
        self._files: dict[str, TextIO] = {}

    def __call__(self, name: str, line: str) -> None:
        """Take one line."""
        self._file(name).write(f"{line}\n")
        if not self._quiet or name == "regent":
            self._stream.write(f"{self._label(name)} {line}\n")
            self._stream.flush()

    def _label(self, name: str) -> str:
        label = f"{name:<{_WIDTH}}|"
        if not self._coloured:
            return label
        colour = _COLOURS[sum(name.encode()) % len(_COLOURS)]
        return f"\x1b[{colour}m{label}\x1b[0m"

    def _file(self, name: str) -> TextIO:
        if name not in self._files:
            private_directory(self._directory)
            path = self._directory / f"{name}.log"
            self._files[name] = path.open("w", encoding="utf-8", buffering=1)
        return self._files[name]

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
