"""One record's XML as SQL: elements, attributes and conditions become one concatenation over the record's texts.

An element is left out when its `r:when` is not true, or when all that it holds are null values: every `{field}` in its
text, and in its children's. Literal text, or a child without any `{field}`, keeps it. An attribute that is just
`{field}` is left out when null. White space around text is not significant.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

from lxml import etree

from libs.expressions import quote_identifier, quote_literal
from services.runner.artifacts.placeholders import Hole, Part, parse_parts
from services.runner.artifacts.template import NAMESPACE
from services.runner.engines.errors import RenderError

_WHEN = f"{{{NAMESPACE}}}when"
_XML = "http://www.w3.org/XML/1998/namespace"
_BREAKS = {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute whose value is just one hole: it disappears with its value."""

    start: str
    hole: Hole


@dataclass(frozen=True, slots=True)
class Element:
    """An element: its tags, what it holds, and the SQL condition under which it stands (None: always)."""

    name: str
    attributes: tuple[Part | Attribute, ...]
    content: tuple["Part | Element", ...]
    condition: str | None


def compile_record(root: etree._Element, fields: set[str], when: Callable[[str], str]) -> Element:
    """Return the record's element; `when` turns a condition's text into SQL.

    Raises:
        RenderError: `template-refused`.
    """
    element = _element(root, fields, when)
    return Element(element.name, element.attributes, element.content, condition=None)


def holes(element: Element) -> set[str]:
    """Return the names of the fields that the element's text and attributes take."""
    named = {part.hole.name for part in element.attributes if isinstance(part, Attribute)}
    named |= {part.name for part in (*element.attributes, *element.content) if isinstance(part, Hole)}
    return named.union(*(holes(child) for child in element.content if isinstance(child, Element)))


def record_sql(element: Element, escaped: Callable[[str], str]) -> str:
    """Return SQL of the element's text; `escaped` turns a field's name into SQL of its escaped text."""
    return f"concat({', '.join(_merged(_pieces(element, escaped)))})"


def text_column(name: str) -> str:
    """Return the reference to a field's text in the inner projection."""
    return f"p.{quote_identifier(name)}"


def _element(node: etree._Element, fields: set[str], when: Callable[[str], str]) -> Element:
    if str(node.tag).startswith(f"{{{NAMESPACE}}}"):
        raise RenderError("template-refused", f"{node.tag} has no meaning in a record template.")
    content: list[Part | Element] = list(_text(node.text, fields))
    for child in node:
        if isinstance(child.tag, str):
            content.append(_element(child, fields, when))
        content += _text(child.tail, fields)
    conditions = [*_present(content), *_when(node, when)]
    return Element(_name(node), tuple(_attributes(node, fields)), tuple(content), " AND ".join(conditions) or None)


def _text(text: str | None, fields: set[str]) -> Iterator[Part]:
    for part in parse_parts((text or "").strip(), fields):
        yield part if isinstance(part, Hole) else escape(part, _BREAKS)


def _when(node: etree._Element, when: Callable[[str], str]) -> list[str]:
    text = node.get(_WHEN)
    return [] if text is None else [when(str(text))]


def _present(content: list["Part | Element"]) -> list[str]:
    """Return at most one condition: that something which the element holds is there."""
    optional = [
        f"{text_column(part.name)} IS NOT NULL" if isinstance(part, Hole) else f"({part.condition})"
        for part in content
        if isinstance(part, Hole) or (isinstance(part, Element) and part.condition)
    ]
    certain = any(isinstance(part, str) or (isinstance(part, Element) and not part.condition) for part in content)
    return [] if certain or not optional else [f"({' OR '.join(optional)})"]


def _name(node: etree._Element) -> str:
    local = etree.QName(node).localname
    return f"{node.prefix}:{local}" if node.prefix else local


def _attributes(node: etree._Element, fields: set[str]) -> Iterator[Part | Attribute]:
    parent = node.getparent()
    outer = parent.nsmap if parent is not None else {}
    for prefix, uri in node.nsmap.items():
        if outer.get(prefix) != uri and uri != NAMESPACE:
            yield f' xmlns{":" + prefix if prefix else ""}="{_quoted(uri)}"'
    for key, value in node.attrib.items():
        if key != _WHEN:
            yield from _attribute(_attribute_name(node, str(key)), parse_parts(str(value), fields))


def _attribute(name: str, parts: tuple[Part, ...]) -> Iterator[Part | Attribute]:
    if len(parts) == 1 and isinstance(parts[0], Hole):
        yield Attribute(f' {name}="', parts[0])
        return
    yield f' {name}="'
    for part in parts:
        yield part if isinstance(part, Hole) else _quoted(part)
    yield '"'


def _quoted(text: str) -> str:
    return escape(text, {**_BREAKS, '"': "&quot;"})


def _attribute_name(node: etree._Element, key: str) -> str:
    name = etree.QName(key)
    if str(name.namespace) == NAMESPACE:
        raise RenderError("template-refused", f"The attribute {name.localname} has no meaning in a template.")
    namespace: str | None = name.namespace
    if namespace is None:
        return name.localname
    known = {_XML: "xml", **{uri: prefix for prefix, uri in node.nsmap.items() if prefix}}
    return f"{known[namespace]}:{name.localname}"


def _pieces(element: Element, escaped: Callable[[str], str]) -> Iterator[str | Hole]:
    """Yield literals (as text) and SQL (as `Hole`, whose name is the SQL)."""
    yield f"<{element.name}"
    for part in element.attributes:
        if isinstance(part, Attribute):
            shown = f"concat({quote_literal(part.start)}, {escaped(part.hole.name)}, '\"')"
            yield Hole(f"CASE WHEN {text_column(part.hole.name)} IS NOT NULL THEN {shown} END")
        else:
            yield Hole(escaped(part.name)) if isinstance(part, Hole) else part
    if not element.content:
        yield "/>"
        return
    yield ">"
    for item in element.content:
        yield from _content(item, escaped)
    yield f"</{element.name}>"


def _content(item: "Part | Element", escaped: Callable[[str], str]) -> Iterator[str | Hole]:
    if isinstance(item, Hole):
        yield Hole(escaped(item.name))
    elif isinstance(item, str):
        yield item
    elif item.condition is None:
        yield from _pieces(item, escaped)
    else:
        yield Hole(f"CASE WHEN {item.condition} THEN {record_sql(item, escaped)} END")


def _merged(pieces: Iterator[str | Hole]) -> Iterator[str]:
    literal = ""
    for piece in pieces:
        if isinstance(piece, str):
            literal += piece
            continue
        if literal:
            yield quote_literal(literal)
        literal = ""
        yield piece.name
    if literal:
        yield quote_literal(literal)
