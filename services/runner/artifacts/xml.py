"""XML artifacts: text built in SQL, checked in batches, written only when valid."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import pyarrow as pa

from libs.common.vocabulary.reports import XmlOutput
from services.runner.artifacts.checking import Checker, LineFault
from services.runner.artifacts.records import count_records, open_records
from services.runner.artifacts.requests import Artifact, RenderRequest
from services.runner.artifacts.template import Envelope, compile_envelope
from services.runner.artifacts.xml_query import xml_query
from services.runner.engines.errors import RecordFault, RenderError
from services.runner.engines.sealing import seal
from services.runner.engines.streams import stream_batches, text_bytes

_BATCH = 1000
_CHECKERS = 2
_AHEAD = 2 * _CHECKERS
_FAULTS = 100

Checked = tuple[pa.RecordBatch, list[LineFault]]


def render_xml(request: RenderRequest) -> Artifact:
    """Write an XML artifact, checked against its XSD set in batches of 1,000 records inside the document's envelope.

    A batch is checked before it is written, and a file with faults is removed. Identity constraints that span the
    document (`xs:key`, `xs:unique`) hold within a batch only.

    Raises:
        RenderError: `template-refused`, `xsd-refused`, or `xml-invalid` with the records at fault (the first 100).
    """
    output = request.output
    if not isinstance(output, XmlOutput):
        raise TypeError("not an XML output")
    with open_records(request) as engine:
        count = count_records(engine)
        envelope = compile_envelope(output, _document_values(request, count))
        checker = Checker(envelope, request.xsd_set, _CHECKERS)
        batches = stream_batches(engine, xml_query(request, output.record, envelope.namespaces), _BATCH)
        try:
            written = _write(request, envelope, checker, batches)
        except BaseException:
            request.target.unlink(missing_ok=True)
            raise
    return Artifact(**seal(request.target, written).model_dump())


def _document_values(request: RenderRequest, count: int) -> dict[str, str]:
    return {
        "run_id": request.run_id,
        "created": request.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "business_date": request.business_date.isoformat(),
        "count": str(count),
        "report": request.report,
    }


def _write(request: RenderRequest, envelope: Envelope, checker: Checker, batches: Iterator[pa.RecordBatch]) -> int:
    faults: list[RecordFault] = []
    written = 0
    with request.target.open("wb") as stream:
        stream.write(envelope.head)
        for batch, found in _check_in_order(checker, batches):
            faults += _name_records(batch, found)
            if len(faults) >= _FAULTS or any(fault.ordinal == 0 for fault in faults):
                break
            stream.write(text_bytes(batch.column("xml")))
            written += batch.num_rows
        stream.write(envelope.tail)
    if not written and not faults:
        faults = [RecordFault(0, "", fault.message) for fault in checker.check(memoryview(b""))]
    if faults:
        raise _invalid(faults[:_FAULTS])
    return written


def _check_in_order(checker: Checker, batches: Iterator[pa.RecordBatch]) -> Iterator[Checked]:
    """Check a few batches ahead on other threads (the parser and the validator release the interpreter's lock)."""
    with ThreadPoolExecutor(_CHECKERS) as pool:
        ahead: deque[tuple[pa.RecordBatch, Future[list[LineFault]]]] = deque()
        for batch in batches:
            ahead.append((batch, pool.submit(checker.check, text_bytes(batch.column("xml")))))
            if len(ahead) > _AHEAD:
                first, verdict = ahead.popleft()
                yield first, verdict.result()
        for rest, verdict in ahead:
            yield rest, verdict.result()


def _name_records(batch: pa.RecordBatch, found: list[LineFault]) -> Iterator[RecordFault]:
    for fault in islice(found, _FAULTS):
        if 0 <= fault.line < batch.num_rows:
            ordinal, key = batch.column("_ordinal")[fault.line].as_py(), batch.column("_key")[fault.line].as_py()
            yield RecordFault(ordinal, key or "", fault.message)
        else:
            yield RecordFault(0, "", f"The document around the records: {fault.message}")


def _invalid(faults: list[RecordFault]) -> RenderError:
    first = faults[0]
    where = f"record {first.key!r} (source row {first.ordinal})" if first.ordinal else "the document"
    more = f"; {len(faults) - 1} more" if len(faults) > 1 else ""
    return RenderError("xml-invalid", f"The XML is not valid at {where}: {first.message}{more}", records=faults)
