"""What a transform says while it runs: `print`, `logging`, and the words of native libraries, in one file."""

import io
import logging
import os
import sys

MOST_BYTES = 4 * 1024 * 1024
_LAST_WORDS = b"\n[the log is full; what follows is not kept]\n"


class Diary(io.TextIOBase):
    """A text stream into a descriptor that takes so much and no more; what is too much is dropped, not an error."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._left = MOST_BYTES

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def write(self, text: str) -> int:
        """Write, while there is room."""
        data = text.encode("utf-8", "replace")
        if self._left > 0:
            kept = data if len(data) <= self._left else data[: self._left] + _LAST_WORDS
            os.write(self._descriptor, kept)
            self._left -= len(data)
        return len(text)


def keep(descriptor: int) -> None:
    """Lead everything that is said to the descriptor from now on."""
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    diary = Diary(descriptor)
    sys.stdout = sys.stderr = diary
    logging.basicConfig(stream=diary, level=logging.INFO, format="%(levelname)s %(message)s", force=True)
