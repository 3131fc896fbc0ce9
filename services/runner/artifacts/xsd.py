"""XSD sets: loaded together, from memory only."""

from collections import defaultdict
from collections.abc import Mapping
from posixpath import basename
from typing import Any

from lxml import etree

from libs.common.vocabulary.xsd import XsdSetSpec
from services.runner.engines.errors import RenderError

_XS = "http://www.w3.org/2001/XMLSchema"
_BASE = "file:///xsd-set/"  # nothing is there: the resolver answers, and relative references come out equal


def load_xsd_set(spec: XsdSetSpec) -> etree.XMLSchema:
    """Return one schema that knows every namespace of the set, so that strict `xs:any` finds each of them.

    A generated driver imports all namespaces; references between the files are resolved by file name within the set
    and nowhere else: no network, no other file, no DTD, no entities.

    Raises:
        RenderError: `xsd-refused` with the reason.
    """
    documents = {file.name: file.content.encode() for file in spec.files}
    parser = safe_parser()
    parser.resolvers.add(_SetResolver(_with_drivers(documents)))
    try:
        return etree.XMLSchema(etree.fromstring(_driver(documents), parser))
    except (etree.XMLSchemaParseError, etree.XMLSyntaxError) as error:
        raise RenderError("xsd-refused", f"The XSD set cannot be loaded: {error}") from error


def safe_parser() -> etree.XMLParser:
    """Return a parser that loads nothing and expands no entity."""
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


def has_doctype(root: etree._Element) -> bool:
    """Return whether the document of `root` has a document type declaration."""
    return bool(getattr(root.getroottree().docinfo, "doctype", ""))


class _SetResolver(etree.Resolver):
    """Finds a schema document by its file name in the set; everything else is an empty document, which is an error."""

    def __init__(self, documents: Mapping[str, bytes]) -> None:
        super().__init__()
        self._documents = documents

    def resolve(self, system_url: str | None, public_id: str | None, context: Any) -> Any:  # type: ignore[override]
        """Answer the parser's request for a document."""
        del public_id
        document = self._documents.get(basename(system_url or ""))
        if document is None:
            return self.resolve_empty(context)  # type: ignore[attr-defined]
        return self.resolve_string(document, context, base_url=system_url)


def _by_namespace(documents: Mapping[str, bytes]) -> dict[str | None, list[str]]:
    found: dict[str | None, list[str]] = defaultdict(list)
    for name, content in documents.items():
        found[_target_namespace(name, content)].append(name)
    return found


def _target_namespace(name: str, content: bytes) -> str | None:
    try:
        root = etree.fromstring(content, safe_parser())
    except etree.XMLSyntaxError as error:
        raise RenderError("xsd-refused", f"{name} is not well-formed: {error}") from error
    if root.tag != f"{{{_XS}}}schema":
        raise RenderError("xsd-refused", f"{name} is not an XML Schema.")
    if has_doctype(root):
        raise RenderError("xsd-refused", f"{name} has a document type declaration.")
    namespace = root.get("targetNamespace")
    return None if namespace is None else str(namespace)


def _driver_name(position: int) -> str:
    return f"{position}.driver"


def _driver(documents: Mapping[str, bytes]) -> bytes:
    root = etree.Element(f"{{{_XS}}}schema", nsmap={"xs": _XS})
    for position, (namespace, names) in enumerate(_by_namespace(documents).items()):
        attributes = {"schemaLocation": _BASE + (names[0] if len(names) == 1 else _driver_name(position))}
        if namespace is not None:
            attributes["namespace"] = namespace
        etree.SubElement(root, f"{{{_XS}}}import", attributes)
    return etree.tostring(root)


def _with_drivers(documents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Add, for each namespace of several files, a document that includes them: a second import would be ignored."""
    result = dict(documents)
    for position, (namespace, names) in enumerate(_by_namespace(documents).items()):
        if len(names) == 1:
            continue
        root = etree.Element(f"{{{_XS}}}schema", nsmap={"xs": _XS})
        if namespace is not None:
            root.set("targetNamespace", namespace)
        for name in names:
            etree.SubElement(root, f"{{{_XS}}}include", {"schemaLocation": _BASE + name})
        result[_driver_name(position)] = etree.tostring(root)
    return result
