"""Checking batches of records as the documents that they will be part of."""

import queue
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from lxml import etree

from libs.common.vocabulary.xsd import XsdSetSpec
from services.runner.artifacts.template import Envelope
from services.runner.artifacts.xsd import load_xsd_set, safe_parser

_ILLEGAL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")
_CONTROL = bytes(range(9)) + b"\x0b\x0c" + bytes(range(0x0E, 0x20))
_CLARK = re.compile(r"\{(?:urn|https?):[^}]*\}")


@dataclass(frozen=True, slots=True)
class LineFault:
    """What is wrong with one line (a record) of a batch; -1 is the document around the records."""

    line: int
    message: str


class Checker:
    """Checks batches against an XSD set; `threads` threads share it, each with a schema of its own.

    A schema keeps the errors that it found. All are loaded here, on one thread: lxml's resolvers do not survive another
    thread's parsing meanwhile (one document in fifty was then refused at random).

    Raises:
        RenderError: the set cannot be loaded.
    """

    def __init__(self, envelope: Envelope, xsd_set: XsdSetSpec | None, threads: int) -> None:
        self._tail = envelope.tail
        self._head = envelope.head + b"\n"  # so that no line is both the document's and a record's
        self._first = self._head.count(b"\n") + 1
        self._loaded: queue.SimpleQueue[etree.XMLSchema] = queue.SimpleQueue()
        self._checks_schema = xsd_set is not None
        self._own = threading.local()
        for _ in range(threads if xsd_set else 0):
            self._loaded.put(load_xsd_set(cast("XsdSetSpec", xsd_set)))

    def check(self, lines: memoryview) -> list[LineFault]:
        """Return the first fault of each faulty line of the batch; characters that XML forbids come first."""
        data = bytes(lines)
        faults = _illegal_lines(data)
        if faults or not self._checks_schema:
            return faults
        try:
            document = etree.fromstring(self._head + data + self._tail, safe_parser())
        except etree.XMLSyntaxError as error:
            return [LineFault(self._line(error.lineno), str(error.msg))]
        schema = self._schema()
        if schema.validate(document):
            return []
        return self._first_by_line(schema)

    def _schema(self) -> etree.XMLSchema:
        if not hasattr(self._own, "schema"):
            self._own.schema = self._loaded.get_nowait()
        schema: etree.XMLSchema = self._own.schema
        return schema

    def _line(self, line: int | None) -> int:
        return -1 if line is None else max(line - self._first, -1)

    def _first_by_line(self, schema: etree.XMLSchema) -> list[LineFault]:
        found: dict[int, str] = {}
        for entry in cast("Iterable[Any]", schema.error_log):
            found.setdefault(self._line(entry.line), _CLARK.sub("", entry.message))
        return [LineFault(line, message) for line, message in sorted(found.items())]


def _illegal_lines(data: bytes) -> list[LineFault]:
    # translate is a tenth of the pattern's cost, and almost all batches end here
    if len(data.translate(None, _CONTROL)) == len(data) and b"\xef\xbf\xbe" not in data and b"\xef\xbf\xbf" not in data:
        return []
    return [
        LineFault(number, "A value holds a character that XML does not allow.")
        for number, line in enumerate(data.split(b"\n"))
        if _ILLEGAL.search(line)
    ]
