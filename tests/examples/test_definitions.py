"""The example's definitions are sound before any service sees them."""

from uuid import UUID, uuid5

import pytest
from lxml import etree

from examples.broker_week import auth016, parties
from examples.broker_week.defects import KINDS
from examples.broker_week.definitions import Definitions, Ids, database_source, definitions
from examples.broker_week.rules import EXPECTED, RULES
from examples.broker_week.week import week
from libs.common.vocabulary.reports import ReportSpec, XmlOutput
from libs.common.vocabulary.rules import ExpressionCheck, ReferenceCheck, RuleSpec, SequenceCheck, UniqueCheck
from libs.expressions import MappingTable, Scope, typecheck

SPACE = UUID(int=0)


def _definitions() -> Definitions:
    made = week(200)
    return definitions(
        [row._asdict() for row in made.instruments],
        [row._asdict() for row in made.counterparties],
        [row._asdict() for row in made.clients],
        parties.FIRM_LEI,
    )


def _ids(made: Definitions) -> Ids:
    return Ids(
        source_schema=uuid5(SPACE, "source"),
        target_schema=uuid5(SPACE, "target"),
        mappings={alias: uuid5(SPACE, alias) for alias in made.mappings},
        rules=tuple(uuid5(SPACE, name) for name in RULES),
        xsd_set=uuid5(SPACE, "xsd"),
    )


def _scope(made: Definitions, aliases: tuple[str, ...]) -> Scope:
    return Scope(made.source_schema, {alias: MappingTable(alias, made.mappings[alias].columns) for alias in aliases})


def _report() -> tuple[Definitions, ReportSpec]:
    made = _definitions()
    return made, made.report(database_source(uuid5(SPACE, "connector")), _ids(made))


def test_definitions_survive_the_wire() -> None:
    """Rules, report, mappings and schemas are the same after a round trip through JSON."""
    made, report = _report()
    rules = made.rules(_ids(made)).values()
    everything = (report, *rules, *made.mappings.values(), made.source_schema, made.target_schema, auth016.xsd_set())
    for model in everything:
        assert type(model).model_validate_json(model.model_dump_json()) == model


@pytest.mark.parametrize("name", RULES)
def test_rule_is_well_typed(name: str) -> None:
    """Every rule's expressions are boolean over the source schema, and its other names are the schema's."""
    made = _definitions()
    rule = made.rules(_ids(made))[name]
    scope = _scope(made, tuple(rule.mappings))
    for text in _conditions(rule):
        assert typecheck(text, scope, "boolean") == "boolean"
    assert all(made.source_schema.field(field) for field in _named_fields(rule))


def _conditions(rule: RuleSpec) -> tuple[str, ...]:
    match rule.check:
        case ExpressionCheck(expression=expression):
            return (expression,)
        case SequenceCheck(when=when, requires=requires):
            return (when, requires)
        case _:
            return ()


def _named_fields(rule: RuleSpec) -> tuple[str, ...]:
    match rule.check:
        case UniqueCheck(fields=fields) | SequenceCheck(fields=fields):
            return (*rule.fields, *fields)
        case ReferenceCheck(field=field):
            return (*rule.fields, field)
        case _:
            return rule.fields


def test_no_rule_knows_an_id() -> None:
    """No expression of a rule holds a trade's, a counterparty's or a client's id."""
    made = _definitions()
    text = "".join(rule.model_dump_json() for rule in made.rules(_ids(made)).values())
    codes = {
        entry.key for alias in ("clients", "counterparties", "instruments") for entry in made.mappings[alias].entries
    }
    assert not [code for code in codes if code in text]
    assert "CP9" not in text
    assert "CL9" not in text
    assert "XS0000000009" not in text


def test_transform_is_well_typed() -> None:
    """Every target field has an expression of its type, and the order's expressions have a type."""
    made, report = _report()
    scope = _scope(made, tuple(report.mappings))
    mapped = {field.field: field.expression for field in report.transform.fields}
    assert list(mapped) == [field.name for field in made.target_schema.fields]
    for field in made.target_schema.fields:
        assert typecheck(mapped[field.name], scope, field.type) == field.type
    assert [typecheck(key.expression, scope) for key in report.transform.order_by] == ["text", "integer", "integer"]


def test_xml_templates_are_well_typed() -> None:
    """The templates are well-formed, and every condition in them is boolean over the target schema."""
    made, report = _report()
    (xml,) = [output for output in report.outputs if isinstance(output, XmlOutput)]
    etree.fromstring(xml.document)
    conditions = [text for name, text in _attributes(xml.record) if name == "{urn:regent:template}when"]
    assert conditions
    assert {typecheck(text, Scope(made.target_schema)) for text in conditions} == {"boolean"}


def _attributes(text: str) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for node in etree.fromstring(text).iter() for name, value in node.attrib.items()]


def test_every_kind_of_defect_has_its_rules() -> None:
    """Every kind of defect names the rules that catch it; they exist and block."""
    assert set(EXPECTED) == KINDS
    named = {rule for rules in EXPECTED.values() for rule in rules if not rule.startswith("schema:")}
    assert all(RULES[rule].severity == "blocking" for rule in named)


def test_own_schemas_are_schemas() -> None:
    """The example's XML Schemas load, and are not the official files."""
    for file in auth016.xsd_set().files:
        etree.XMLSchema(etree.fromstring(file.content.encode()))
        assert "not the official schema" in file.content
