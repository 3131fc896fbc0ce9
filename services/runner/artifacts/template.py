"""XML templates, compiled once: the document to text around the records, the record to SQL that builds its text."""

from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from lxml import etree

from libs.common.vocabulary.reports import XmlOutput
from services.runner.artifacts.placeholders import Hole, parse_parts
from services.runner.artifacts.xsd import has_doctype, safe_parser
from services.runner.engines.errors import RenderError

NAMESPACE = "urn:regent:template"
DOCUMENT_NAMES = ("run_id", "created", "business_date", "count", "report")
_RECORDS = f"{{{NAMESPACE}}}records"
_MARK = "regent-records"

Namespaces = Mapping[str | None, str]


@dataclass(frozen=True, slots=True)
class Envelope:
    """The document's bytes before and after the records, and the namespaces that records find declared there."""

    head: bytes
    tail: bytes
    namespaces: Namespaces


def compile_envelope(output: XmlOutput, values: Mapping[str, str]) -> Envelope:
    """Fill the document template and cut it where the records go.

    Raises:
        RenderError: `template-refused`.
    """
    root = parse_template(output.document, "document")
    place = _records_place(root)
    for element in root.iter(etree.Element):
        _fill(element, values)
    parent = place.getparent()
    namespaces = {
        prefix: uri for prefix, uri in (parent.nsmap if parent is not None else {}).items() if uri != NAMESPACE
    }
    _mark(place)
    text = '<?xml version="1.0" encoding="UTF-8"?>\n' + etree.tostring(root, encoding="unicode")
    for prefix in {
        prefix for element in root.iter(etree.Element) for prefix, uri in element.nsmap.items() if uri == NAMESPACE
    }:
        text = text.replace(f' xmlns:{prefix}="{NAMESPACE}"', "")
    head, tail = _cut(text)
    return Envelope(head.encode(), tail.encode() + b"\n", namespaces)


def parse_record(record: str, namespaces: Namespaces) -> etree._Element:
    """Parse the record template where it will stand: prefixes of the document's records place are known in it.

    Raises:
        RenderError: `template-refused`.
    """
    declared = {"r": NAMESPACE, **{prefix: uri for prefix, uri in namespaces.items() if prefix != "r"}}
    start = "".join(f" xmlns{':' + prefix if prefix else ''}={quoteattr(uri)}" for prefix, uri in declared.items())
    root = parse_template(f"<w{start}>{record}</w>", "record")
    children = [child for child in root if isinstance(child.tag, str)]
    if len(children) != 1 or (root.text or "").strip() or any((child.tail or "").strip() for child in root):
        raise RenderError("template-refused", "The record template must be one element.")
    if children[0].get(f"{{{NAMESPACE}}}when") is not None:
        raise RenderError("template-refused", "r:when cannot stand on the record itself: filter in the transform.")
    return children[0]


def parse_template(text: str, what: str) -> etree._Element:
    """Parse a template without loading anything.

    Raises:
        RenderError: `template-refused`.
    """
    try:
        root = etree.fromstring(text.encode(), safe_parser())
    except etree.XMLSyntaxError as error:
        raise RenderError("template-refused", f"The {what} template is not well-formed: {error}") from error
    if has_doctype(root):
        raise RenderError("template-refused", f"The {what} template has a document type declaration.")
    return root


def _records_place(root: etree._Element) -> etree._Element:
    places = list(root.iter(_RECORDS))
    if len(places) != 1 or places[0] is root or len(places[0]) or (places[0].text or "").strip():
        raise RenderError("template-refused", "The document template must hold one empty <r:records/> below its root.")
    return places[0]


def _cut(text: str) -> tuple[str, str]:
    halves = text.split(f"<?{_MARK} ?>")
    if len(halves) != 2:  # noqa: PLR2004 - a cut has two sides
        raise RenderError("template-refused", f"The processing instruction {_MARK} is reserved.")
    return halves[0], halves[1]


def _mark(place: etree._Element) -> None:
    mark = etree.ProcessingInstruction(_MARK)
    mark.tail = place.tail
    parent = place.getparent()
    if parent is not None:
        parent.replace(place, mark)


def _fill(element: etree._Element, values: Mapping[str, str]) -> None:
    if element.tag != _RECORDS and f"{{{NAMESPACE}}}" in str(element.tag) + "".join(map(str, element.attrib)):
        raise RenderError("template-refused", "Only <r:records/> may stand in the document template.")
    element.text = _filled(element.text, values)
    element.tail = _filled(element.tail, values)
    for name, value in element.attrib.items():
        element.set(name, _filled(str(value), values) or "")


def _filled(text: str | None, values: Mapping[str, str]) -> str | None:
    if text is None:
        return None
    parts = parse_parts(text, values)
    return "".join(values[part.name] if isinstance(part, Hole) else part for part in parts)
