"""The definitions that a broker creates to report its trades, with its own master data put in.

The ids of what they refer to come from the API as the parts are created: schemas, mappings and the XSD set first,
then the rules, then the report.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from examples.broker_week import auth016, mappings
from examples.broker_week.rules import RULES
from examples.broker_week.schemas import SOURCE, TARGET
from examples.broker_week.source import QUERY
from libs.common.vocabulary.mappings import MappingSpec
from libs.common.vocabulary.reports import (
    CsvOutput,
    Output,
    ParquetOutput,
    QuerySource,
    ReportSpec,
    Source,
    XmlOutput,
)
from libs.common.vocabulary.rules import RuleSpec
from libs.common.vocabulary.schemas import SchemaSpec
from libs.common.vocabulary.transforms import FieldMapping, SortKey, Transform

TRANSFORM_MAPPINGS = ("clients", "counterparties", "venues")


@dataclass(frozen=True, slots=True)
class Ids:
    """What the report and its rules refer to, by id; `mappings` by alias, `rules` in order."""

    source_schema: UUID
    target_schema: UUID
    mappings: Mapping[str, UUID]
    rules: tuple[UUID, ...] = ()
    xsd_set: UUID | None = None
    destinations: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Definitions:
    """Schemas, mappings by alias, and the rest as functions of the ids. `country` is that of the firm's branch."""

    firm_lei: str
    country: str
    mappings: Mapping[str, MappingSpec]
    source_schema: SchemaSpec = SOURCE
    target_schema: SchemaSpec = TARGET

    def rules(self, ids: Ids) -> dict[str, RuleSpec]:
        """Return the rules by name."""
        return {
            name: RuleSpec(
                schema_id=ids.source_schema,
                severity=rule.severity,
                check=rule.check,
                mappings={alias: ids.mappings[alias] for alias in rule.mappings},
                fields=rule.fields,
                message=rule.message,
                external_id=rule.external_id,
            )
            for name, rule in RULES.items()
        }

    def report(self, source: Source, ids: Ids) -> ReportSpec:
        """Return the report over any source that gives the columns of the source schema."""
        return ReportSpec(
            source=source,
            source_schema_id=ids.source_schema,
            business_key=("trade_id", "version", "action"),
            rules=ids.rules,
            mappings={alias: ids.mappings[alias] for alias in TRANSFORM_MAPPINGS},
            target_schema_id=ids.target_schema,
            transform=transform(self.firm_lei, self.country),
            outputs=outputs(self.firm_lei, self.country, ids.xsd_set),
            destinations=ids.destinations,
        )


def definitions(
    instruments: Iterable[Mapping[str, str]],
    counterparties: Iterable[Mapping[str, str]],
    clients: Iterable[Mapping[str, str]],
    firm_lei: str,
    country: str = "IE",
) -> Definitions:
    """Make the definitions from rows of master data.

    Rows have the columns of the example's tables and may have `valid_from` and `valid_to` (ISO dates, both included).
    """
    shares = tuple(instruments)
    return Definitions(
        firm_lei=firm_lei,
        country=country,
        mappings={
            "instruments": mappings.instruments(shares),
            "counterparties": mappings.counterparties(counterparties),
            "clients": mappings.clients(clients),
            "venues": mappings.venues(shares, country),
        },
    )


def database_source(connector: UUID) -> QuerySource:
    """Return the source that reads the example's database."""
    return QuerySource(connector_id=connector, query=QUERY)


def outputs(firm_lei: str, country: str, xsd_set: UUID | None) -> tuple[Output, ...]:
    """Return the files that a run makes: CSV and Parquet for people, XML for the authority."""
    document = auth016.document(firm_lei, authority=country)
    return (
        CsvOutput(),
        ParquetOutput(),
        XmlOutput(xsd_set_id=xsd_set, document=document, record=auth016.record()),
    )


def transform(firm_lei: str, country: str) -> Transform:
    """Return how a trade becomes a report; a trade's cancellation comes before its next version.

    With DEAL and MTCH the firm is a party, on its own side. With AOTC it is an agent and no party: the client stands
    opposite the broker's side, and the counterparty takes the broker's side.
    """
    values = {
        "report_status": "'CANC' if action == 'CANCEL' else 'NEWT'",
        "transaction_reference": "trade_id",
        "venue_transaction_id": "venue_tx_id",
        "executing_entity": f"'{firm_lei}'",
        "investment_firm": "true",
        "submitting_entity": f"'{firm_lei}'",
        **_party("buyer", "B", firm_lei, country),
        **_party("seller", "S", firm_lei, country),
        "order_transmitted": "false",
        "traded_at": "executed_at",
        "capacity": "capacity",
        "quantity": "quantity",
        "price": "price",
        "price_currency": "price_ccy",
        "venue": "venue",
        "venue_member_country": "lookup('venues', venue, 'member_country')",
        "instrument": "isin",
        "decision_algorithm": "algo if capacity == 'DEAL' else null",
        "decision_person": f"concat('{country}', trader) if capacity == 'DEAL' and algo is null else null",
        "execution_algorithm": "algo",
        "execution_person": f"concat('{country}', trader) if algo is null else null",
        "person_country": f"'{country}'",
        "short_sale": "short_sale",
        "financing": "false",
    }
    return Transform(
        fields=tuple(FieldMapping(field=field, expression=expression) for field, expression in values.items()),
        order_by=tuple(SortKey(expression=key) for key in ("trade_id", "version", "1 if action == 'CANCEL' else 0")),
    )


def _party(name: str, side: str, firm_lei: str, country: str) -> dict[str, str]:
    person = f"client is not null and side != '{side}'"
    return {
        f"{name}_lei": (
            f"null if {person} else '{firm_lei}' if client is null and side == '{side}' "
            "else lookup('counterparties', counterparty, 'lei')"
        ),
        f"{name}_person_id": f"lookup('clients', client, 'concat_id') if {person} else null",
        f"{name}_first_names": f"upper(lookup('clients', client, 'first_name')) if {person} else null",
        f"{name}_surnames": f"upper(lookup('clients', client, 'last_name')) if {person} else null",
        f"{name}_birth_date": f"to_date(lookup('clients', client, 'birth_date')) if {person} else null",
        f"{name}_branch_country": f"'{country}' if {person} else null",
    }
