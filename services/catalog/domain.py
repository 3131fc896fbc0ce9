"""What makes a report definition whole: its parts fit each other. No I/O."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from lxml import etree

from libs.common.definitions.kinds import Reference
from libs.common.errors import FieldProblem
from libs.common.nearest import nearest_name
from libs.common.vocabulary.mappings import MappingSpec
from libs.common.vocabulary.reports import ReportSpec, XmlOutput
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.common.vocabulary.transforms import AnyTransform, PythonTransform, SqlTransform, Transform
from libs.common.vocabulary.xsd import XsdSetSpec
from libs.expressions import ExpressionError, MappingTable, Patterns, Scope, typecheck
from libs.expressions.patterns import MOST
from libs.transforms import python_flaws, query_flaws

TEMPLATE = "urn:regent:template"
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_FEW, _MOST_PROBLEMS = 12, 50
_PATTERNS = 10 * MOST
"""A report has up to some five hundred expressions; their patterns share this."""
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
    """Name what does not fit between a report, its schemas and its mappings, fifty problems at most."""
    return list(islice(_problems(spec, source, target, mappings), _MOST_PROBLEMS))


def _problems(
    spec: ReportSpec, source: SchemaSpec, target: SchemaSpec, mappings: Mapping[str, MappingSpec]
) -> Iterator[FieldProblem]:
    tables = {alias: MappingTable(alias, mapping.columns) for alias, mapping in mappings.items()}
    scope, patterns = Scope(source, tables), Patterns(_PATTERNS)
    yield from (
        _unknown(f"/spec/business_key/{position}", f"the source schema has no field {name!r}", name, source)
        for position, name in enumerate(spec.business_key)
        if source.field(name) is None
    )
    yield from _transform_problems(spec.transform, scope, target, patterns)
    for position, output in enumerate(spec.outputs):
        if isinstance(output, XmlOutput):
            yield from _template_problems(output, target, f"/spec/outputs/{position}", patterns)


def _transform_problems(
    transform: AnyTransform, scope: Scope, target: SchemaSpec, patterns: Patterns
) -> Iterator[FieldProblem]:
    if isinstance(transform, PythonTransform):
        yield from (FieldProblem.placed("/spec/transform/code", flaw) for flaw in python_flaws(transform.code))
    elif isinstance(transform, SqlTransform):
        yield from _query_problems(transform, scope, target)
    else:
        yield from _mapped_problems(transform, scope, target, patterns)


def _mapped_problems(
    transform: Transform, scope: Scope, target: SchemaSpec, patterns: Patterns
) -> Iterator[FieldProblem]:
    mapped = [item.field for item in transform.fields]
    for position, item in enumerate(transform.fields):
        place = f"/spec/transform/fields/{position}"
        field = target.field(item.field)
        if field is None:
            yield _unknown(f"{place}/field", f"the target schema has no field {item.field!r}", item.field, target)
        elif mapped.index(item.field) != position:
            yield FieldProblem.told(f"{place}/field", f"{item.field!r} is mapped twice", expected="each field once")
        else:
            yield from _expression_problems(item.expression, scope, f"{place}/expression", patterns, field)
    for field in target.fields:
        if field.required and field.name not in mapped:
            yield FieldProblem("/spec/transform/fields", f"the required target field {field.name!r} is not mapped")
    if transform.where is not None:
        yield from _expression_problems(transform.where, scope, "/spec/transform/where", patterns, _BOOLEAN)
    for position, key in enumerate(transform.order_by):
        place = f"/spec/transform/order_by/{position}/expression"
        yield from _expression_problems(key.expression, scope, place, patterns)


def _query_problems(transform: SqlTransform, scope: Scope, target: SchemaSpec) -> Iterator[FieldProblem]:
    mappings = {alias: table.columns for alias, table in scope.mappings.items()}
    for flaw in query_flaws(transform.query, scope.schema, target, mappings):
        yield FieldProblem.placed("/spec/transform/query", flaw, category=flaw.category)


_BOOLEAN = SchemaField(name="condition", type="boolean")


def _expression_problems(
    text: str, scope: Scope, place: str, patterns: Patterns, field: SchemaField | None = None
) -> list[FieldProblem]:
    try:
        typecheck(text, scope, field.type if field else None, patterns)
    except ExpressionError as error:
        return [FieldProblem.placed(place, error)]
    return []


def _unknown(place: str, said: str, name: str, schema: SchemaSpec) -> FieldProblem:
    names = [field.name for field in schema.fields]
    return FieldProblem.told(place, said, expected="a field of the schema", nearest=nearest_name(name, names))


def _template_problems(output: XmlOutput, target: SchemaSpec, place: str, patterns: Patterns) -> Iterator[FieldProblem]:
    names = {field.name for field in target.fields}
    yield from _document_problems(output.document, f"{place}/document")
    root, problem = _parse(output.record, f"{place}/record")
    if root is None:
        yield problem
        return
    for element in root.iter(etree.Element):
        condition = element.get(f"{{{TEMPLATE}}}when")
        if condition is not None:
            yield from _expression_problems(condition, Scope(target, {}), f"{place}/record", patterns, _BOOLEAN)
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
        said = f"names what is not there: {', '.join(unknown)}"
        wanted = "a field of the target schema" if len(known) > _FEW else f"one of {', '.join(sorted(known))}"
        yield FieldProblem.told(place, said, expected=wanted, nearest=nearest_name(unknown[0], known))


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
        line, column = error.position
        return None, FieldProblem.told(place, f"is no well-formed XML: {error.msg}", line=line, column=max(column, 1))


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
