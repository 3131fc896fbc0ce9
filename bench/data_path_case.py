"""The one report that both sides of the data path bench produce."""

from datetime import UTC, date, datetime
from uuid import UUID, uuid5

from libs.common.vocabulary.mappings import MappingEntry, MappingSpec
from libs.common.vocabulary.reports import CsvOutput, Output, ParquetOutput, XmlOutput
from libs.common.vocabulary.rules import ExpressionCheck, RuleSpec
from libs.common.vocabulary.schemas import SchemaSpec
from libs.common.vocabulary.transforms import Transform
from libs.common.vocabulary.xsd import XsdFile, XsdSetSpec

BUSINESS_DATE = date(2025, 3, 10)
AS_OF = datetime(2025, 3, 11, 6, tzinfo=UTC)
RUN_ID = "bench"
REPORT = "transactions"
KEY = ("trade_id", "version", "action")
XML_ROOT = '<Document xmlns="urn:bench:tx">'
XML_HEAD = f"<RptHdr><Id>{RUN_ID}</Id><CreDt>2025-03-11T06:00:00Z</CreDt>"

SOURCE_TYPES = {
    "trade_id": "text", "version": "integer", "action": "text", "executed_at": "timestamp", "booked_at": "timestamp",
    "book": "text", "trader": "text", "algo": "text", "side": "text", "isin": "text", "quantity": "integer",
    "price": "decimal", "price_ccy": "text", "venue": "text", "venue_tx_id": "text", "counterparty": "text",
    "client": "text", "capacity": "text", "short_sale": "text", "settlement_date": "date",
}  # fmt: skip
TARGET_TYPES = {
    "ref": "text", "status": "text", "traded_at": "timestamp", "side": "text", "instrument": "text",
    "quantity": "integer", "price": "decimal", "currency": "text", "venue": "text", "country": "text",
    "counterparty": "text", "client": "text", "capacity": "text", "short_sale": "text", "settlement": "date",
}  # fmt: skip

RULES = (
    "price > 0",
    "price < 100000",
    "quantity > 0",
    "quantity < 1000000",
    "version >= 1",
    "version <= 3",
    "side in ('B', 'S')",
    "action in ('NEW', 'CANCEL')",
    "capacity in ('AOTC', 'DEAL', 'MTCH')",
    "price_ccy in ('EUR', 'GBP', 'USD', 'CHF')",
    "venue in ('XLON', 'XETR', 'XPAR', 'XOFF', 'XSWX')",
    "book in ('EQ-CASH', 'EQ-PROG', 'EQ-PROP', 'BD-CASH')",
    "matches(isin, '[A-Z]{2}[A-Z0-9]{9}[0-9]')",
    "matches(trader, 'TR[0-9]{2}')",
    "matches(trade_id, 'T[0-9]{9}')",
    "length(isin) == 12",
    "executed_at <= as_of",
    "booked_at >= executed_at",
    "settlement_date >= business_date",
    "short_sale is null or side == 'S'",
)

FIELDS = {
    "ref": "trade_id",
    "status": "'NEWT' if action == 'NEW' else 'CANC'",
    "traded_at": "executed_at",
    "side": "side",
    "instrument": "isin",
    "quantity": "quantity",
    "price": "price",
    "currency": "price_ccy",
    "venue": "venue",
    "country": "lookup('venues', venue, 'country')",
    "counterparty": "lookup('counterparties', counterparty, 'lei')",
    "client": "client",
    "capacity": "capacity",
    "short_sale": "short_sale",
    "settlement": "settlement_date",
}

VENUES = {"XLON": "GB", "XETR": "DE", "XPAR": "FR", "XSWX": "CH"}
COUNTERPARTIES = {f"CP{n:03}": f"5299{n * 7919:014}00" for n in range(1, 39)}

RECORD = """<Tx><New r:when="status == 'NEWT'"><TxId>{ref}</TxId><TradDt>{traded_at}</TradDt><Sd>{side}</Sd>
<Qty><Unit>{quantity}</Unit></Qty><Pric><Amt Ccy="{currency}">{price}</Amt></Pric><TradVn>{venue}</TradVn><Ctry>{country}</Ctry>
<Id>{instrument}</Id><CtrPty><LEI>{counterparty}</LEI></CtrPty><Clnt>{client}</Clnt><Cpcty>{capacity}</Cpcty>
<ShrtSellg>{short_sale}</ShrtSellg><SttlmDt>{settlement}</SttlmDt></New>
<Cxl r:when="status == 'CANC'"><TxId>{ref}</TxId></Cxl></Tx>"""
DOCUMENT = (
    '<Document xmlns="urn:bench:tx" xmlns:r="urn:regent:template"><RptHdr><Id>{run_id}</Id><CreDt>{created}</CreDt>'
    "<NbOfRcrds>{count}</NbOfRcrds></RptHdr><r:records/></Document>"
)
XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:bench:tx" targetNamespace="urn:bench:tx" elementFormDefault="qualified">
<xs:simpleType name="Text"><xs:restriction base="xs:string"><xs:minLength value="1"/><xs:maxLength value="52"/></xs:restriction></xs:simpleType>
<xs:simpleType name="ISIN"><xs:restriction base="xs:string"><xs:pattern value="[A-Z]{2,2}[A-Z0-9]{9,9}[0-9]{1,1}"/></xs:restriction></xs:simpleType>
<xs:simpleType name="LEI"><xs:restriction base="xs:string"><xs:pattern value="[A-Z0-9]{18,18}[0-9]{2,2}"/></xs:restriction></xs:simpleType>
<xs:simpleType name="MIC"><xs:restriction base="xs:string"><xs:pattern value="[A-Z0-9]{4,4}"/></xs:restriction></xs:simpleType>
<xs:simpleType name="Country"><xs:restriction base="xs:string"><xs:pattern value="[A-Z]{2,2}"/></xs:restriction></xs:simpleType>
<xs:simpleType name="Currency"><xs:restriction base="xs:string"><xs:pattern value="[A-Z]{3,3}"/></xs:restriction></xs:simpleType>
<xs:simpleType name="Side"><xs:restriction base="xs:string"><xs:enumeration value="B"/><xs:enumeration value="S"/></xs:restriction></xs:simpleType>
<xs:simpleType name="Capacity"><xs:restriction base="xs:string"><xs:enumeration value="AOTC"/><xs:enumeration value="DEAL"/><xs:enumeration value="MTCH"/></xs:restriction></xs:simpleType>
<xs:simpleType name="Number"><xs:restriction base="xs:decimal"><xs:totalDigits value="18"/><xs:fractionDigits value="5"/></xs:restriction></xs:simpleType>
<xs:complexType name="Amount"><xs:simpleContent><xs:extension base="Number"><xs:attribute name="Ccy" type="Currency" use="required"/></xs:extension></xs:simpleContent></xs:complexType>
<xs:complexType name="New"><xs:sequence>
<xs:element name="TxId" type="Text"/><xs:element name="TradDt" type="xs:dateTime"/><xs:element name="Sd" type="Side"/>
<xs:element name="Qty"><xs:complexType><xs:sequence><xs:element name="Unit" type="Number"/></xs:sequence></xs:complexType></xs:element>
<xs:element name="Pric"><xs:complexType><xs:sequence><xs:element name="Amt" type="Amount"/></xs:sequence></xs:complexType></xs:element>
<xs:element name="TradVn" type="MIC"/><xs:element name="Ctry" type="Country" minOccurs="0"/><xs:element name="Id" type="ISIN"/>
<xs:element name="CtrPty" minOccurs="0"><xs:complexType><xs:sequence><xs:element name="LEI" type="LEI"/></xs:sequence></xs:complexType></xs:element>
<xs:element name="Clnt" type="Text" minOccurs="0"/><xs:element name="Cpcty" type="Capacity"/>
<xs:element name="ShrtSellg" type="Text" minOccurs="0"/><xs:element name="SttlmDt" type="xs:date"/>
</xs:sequence></xs:complexType>
<xs:element name="Document"><xs:complexType><xs:sequence>
<xs:element name="RptHdr"><xs:complexType><xs:sequence><xs:element name="Id" type="Text"/><xs:element name="CreDt" type="xs:dateTime"/><xs:element name="NbOfRcrds" type="xs:integer"/></xs:sequence></xs:complexType></xs:element>
<xs:element name="Tx" minOccurs="0" maxOccurs="unbounded"><xs:complexType><xs:choice>
<xs:element name="New" type="New"/>
<xs:element name="Cxl"><xs:complexType><xs:sequence><xs:element name="TxId" type="Text"/></xs:sequence></xs:complexType></xs:element>
</xs:choice></xs:complexType></xs:element>
</xs:sequence></xs:complexType></xs:element></xs:schema>"""


def identifier(name: str) -> UUID:
    """Return the id that a definition of that name has in the bench."""
    return uuid5(UUID(int=0), name)


def source_schema() -> SchemaSpec:
    """Return the schema of the source rows."""
    return _schema(SOURCE_TYPES)


def target_schema() -> SchemaSpec:
    """Return the schema of the report's records."""
    return _schema(TARGET_TYPES)


def _schema(types: dict[str, str]) -> SchemaSpec:
    scale = {"precision": 18, "scale": 5}
    fields = [{"name": n, "type": t, **(scale if t == "decimal" else {})} for n, t in types.items()]
    return SchemaSpec.model_validate({"fields": fields})


def rules() -> dict[str, RuleSpec]:
    """Return the rules by name."""
    return {
        f"rule-{n:02}": RuleSpec(schema_id=identifier("source"), check=ExpressionCheck(expression=text), message="no")
        for n, text in enumerate(RULES)
    }


def mappings() -> dict[str, MappingSpec]:
    """Return the lookup tables by alias."""
    return {
        "venues": _mapping("country", VENUES),
        "counterparties": _mapping("lei", COUNTERPARTIES),
    }


def _mapping(column: str, values: dict[str, str]) -> MappingSpec:
    entries = tuple(MappingEntry(key=key, values={column: value}) for key, value in values.items())
    return MappingSpec(columns=(column,), entries=entries)


def transform() -> Transform:
    """Return the transform."""
    fields = [{"field": field, "expression": text} for field, text in FIELDS.items()]
    order = [{"expression": "trade_id"}, {"expression": "version"}]
    return Transform.model_validate({"fields": fields, "order_by": order})


def outputs(*, xml: bool) -> list[Output]:
    """Return what is rendered."""
    tabular: list[Output] = [CsvOutput(), ParquetOutput()]
    return [*tabular, XmlOutput(document=DOCUMENT, record=RECORD)] if xml else tabular


def xsd_set() -> XsdSetSpec:
    """Return the report's XML Schema."""
    return XsdSetSpec(files=(XsdFile(name="bench.xsd", content=XSD),))
