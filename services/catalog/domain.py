"""What makes a report definition whole: its parts fit each other. No I/O."""

import re
from collections.abc import Iterable, Iterator, Mapping

from lxml import etree

from libs.common.definitions.kinds import Reference
from libs.common.errors import FieldProblem
from libs.common.vocabulary.mappings import MappingSpec
from libs.common.vocabulary.reports import ReportSpec, XmlOutput
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.common.vocabulary.transforms import AnyTransform, PythonTransform, SqlTransform, Transform
from libs.common.vocabulary.xsd import XsdSetSpec
from libs.expressions import ExpressionError, MappingTable, Scope, typecheck
from libs.transforms import python_flaws, query_flaws

TEMPLATE = "urn:regent:template"
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_DOCUMENT_NAMES = frozenset({"run_id", "created", "business_date", "count", "report"})


def report_references(spec: ReportSpec) -> Iterator[Reference]:
    """Name everything that a report refers to."""
    yield Reference("connector", spec.source.connector_id, "/spec/source/connector_id")
    yield Reference("schema", spec.source_schema_id, "/spec/source_schema_id")
    yield Reference("schema", spec.target_schema_id, "/spec/target_schema_id")
    for alias, mapping in spec.mappings.items():
        yield Reference("mapping", mapping, f"/spec/mappings/{alias}")
    for position, rule in enumerate(spec.rules):
        yield Reference("rule", rule, f"/spec/rules/{position}")
    for position, destination in enumerate(spec.destinations):
        yield Reference("destination", destination, f"/spec/destinations/{position}")
    for position, output in enumerate(spec.outputs):
        if isinstance(output, XmlOutput) and output.xsd_set_id is not None:
            yield Reference("xsd_set", output.xsd_set_id, f"/spec/outputs/{position}/xsd_set_id")


def report_problems(
    spec: ReportSpec, source: SchemaSpec, target: SchemaSpec, mappings: Mapping[str, MappingSpec]
) -> list[FieldProblem]:
    """Name everything that does not fit between a report, its schemas and its mappings."""
    tables = {alias: MappingTable(alias, mapping.columns) for alias, mapping in mappings.items()}
    scope = Scope(source, tables)
    problems = [
        FieldProblem(f"/spec/business_key/{position}", f"the source schema has no field {name!r}")
        for position, name in enumerate(spec.business_key)
        if source.field(name) is None
    ]
    problems += _transform_problems(spec.transform, scope, target)
    for position, output in enumerate(spec.outputs):
        if isinstance(output, XmlOutput):
            problems += _template_problems(output, target, f"/spec/outputs/{position}")
    return problems


def _transform_problems(transform: AnyTransform, scope: Scope, target: SchemaSpec) -> Iterator[FieldProblem]:
    if isinstance(transform, PythonTransform):
        yield from (FieldProblem("/spec/transform/code", str(flaw)) for flaw in python_flaws(transform.code))
    elif isinstance(transform, SqlTransform):
        yield from _query_problems(transform, scope, target)
    else:
        yield from _mapped_problems(transform, scope, target)


def _mapped_problems(transform: Transform, scope: Scope, target: SchemaSpec) -> Iterator[FieldProblem]:
    mapped = [item.field for item in transform.fields]
    for position, item in enumerate(transform.fields):
        place = f"/spec/transform/fields/{position}"
        field = target.field(item.field)
        if field is None:
            yield FieldProblem(f"{place}/field", f"the target schema has no field {item.field!r}")
        elif mapped.index(item.field) != position:
            yield FieldProblem(f"{place}/field", f"{item.field!r} is mapped twice")
        else:
            yield from _expression_problems(item.expression, scope, f"{place}/expression", field)
    for field in target.fields:
        if field.required and field.name not in mapped:
            yield FieldProblem("/spec/transform/fields", f"the required target field {field.name!r} is not mapped")
    if transform.where is not None:
        yield from _expression_problems(transform.where, scope, "/spec/transform/where", _BOOLEAN)
    for position, key in enumerate(transform.order_by):
        yield from _expression_problems(key.expression, scope, f"/spec/transform/order_by/{position}/expression")


def _query_problems(transform: SqlTransform, scope: Scope, target: SchemaSpec) -> Iterator[FieldProblem]:
    mappings = {alias: table.columns for alias, table in scope.mappings.items()}
    for message in query_flaws(transform.query, scope.schema, target, mappings):
        yield FieldProblem("/spec/transform/query", message)


_BOOLEAN = SchemaField(name="condition", type="boolean")


def _expression_problems(text: str, scope: Scope, place: str, field: SchemaField | None = None) -> list[FieldProblem]:
    try:
        typecheck(text, scope, field.type if field else None)
    except ExpressionError as error:
        return [FieldProblem(place, f"line {error.line}, column {error.column}: {error.message}")]
    return []


def _template_problems(output: XmlOutput, target: SchemaSpec, place: str) -> Iterator[FieldProblem]:
    names = {field.name for field in target.fields}
    yield from _document_problems(output.document, f"{place}/document")
    root, problem = _parse(output.record, f"{place}/record")
    if root is None:
        yield problem
        return
    for element in root.iter(etree.Element):
        condition = element.get(f"{{{TEMPLATE}}}when")
        if condition is not None:
            yield from _expression_problems(condition, Scope(target, {}), f"{place}/record", _BOOLEAN)
    yield from _unknown_placeholders(_texts(root), names, f"{place}/record")


def _document_problems(document: str, place: str) -> Iterator[FieldProblem]:
    root, problem = _parse(document, place)
    if root is None:
        yield problem
        return
    if len(list(root.iter(f"{{{TEMPLATE}}}records"))) != 1:
        yield FieldProblem(place, f"must hold exactly one element {{{TEMPLATE}}}records")
    yield from _unknown_placeholders(_texts(root), _DOCUMENT_NAMES, place)


def _unknown_placeholders(texts: Iterable[str], names: Iterable[str], place: str) -> Iterator[FieldProblem]:
    known = set(names)
    unknown = sorted({name for text in texts for name in _PLACEHOLDER.findall(text)} - known)
    if unknown:
        yield FieldProblem(place, f"names what is not there: {', '.join(unknown)}")


def _texts(root: etree._Element) -> Iterator[str]:
    for element in root.iter(etree.Element):
        yield element.text or ""
        yield element.tail or ""
        for name, value in element.attrib.items():
            if not str(name).startswith(f"{{{TEMPLATE}}}"):
                yield str(value)


def _parse(text: str, place: str) -> tuple[etree._Element | None, FieldProblem]:
    """Parse XML that may declare neither entities nor a document type."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    if "<!DOCTYPE" in text:
        return None, FieldProblem(place, "a document type declaration is not allowed")
    try:
        return etree.fromstring(text.encode(), parser), FieldProblem(place, "")
    except etree.XMLSyntaxError as error:
        return None, FieldProblem(place, f"is no well-formed XML: {error.msg}")


def xsd_problems(spec: XsdSetSpec) -> list[FieldProblem]:
    """Name the files of a set that are no well-formed XML Schemas."""
    problems = []
    for position, file in enumerate(spec.files):
        root, problem = _parse(file.content, f"/spec/files/{position}/content")
        if root is None:
            problems.append(problem)
        elif root.tag != "{http://www.w3.org/2001/XMLSchema}schema":
            problems.append(FieldProblem(problem.field, "its root element is not xs:schema"))
    return problems
