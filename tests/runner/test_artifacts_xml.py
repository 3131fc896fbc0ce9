from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lxml import etree

from services.runner.artifacts.render import render
from services.runner.engines.errors import RenderError
from tests.runner.datapath import render_request, schema, write_failures, write_rows

TARGET = schema(ref="text", note="text", qty="integer", px="decimal", ok="boolean", day="date", at="timestamp")
ARROW = {
    "_key": pa.string(), "ref": pa.string(), "note": pa.string(), "qty": pa.int64(), "px": pa.decimal128(28, 10),
    "ok": pa.bool_(), "day": pa.date32(), "at": pa.timestamp("us", "UTC"),
}  # fmt: skip
DOCUMENT = (
    '<d:Doc xmlns:d="urn:d" xmlns:r="urn:regent:template" n="{count}"><d:Id>{report}/{run_id}</d:Id>'
    "<d:Made>{created} {business_date}</d:Made><r:records/></d:Doc>"
)
XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:d" xmlns="urn:d" elementFormDefault="qualified">
  <xs:element name="Doc"><xs:complexType><xs:sequence>
    <xs:element name="Id" type="xs:string"/><xs:element name="Made" type="xs:string"/>
    <xs:element name="Tx" minOccurs="0" maxOccurs="unbounded"><xs:complexType><xs:sequence>
      <xs:element name="Ref"><xs:simpleType><xs:restriction base="xs:string"><xs:pattern value="[A-Z0-9]{1,5}"/></xs:restriction></xs:simpleType></xs:element>
      <xs:element name="Qty" type="xs:positiveInteger" minOccurs="0"/>
    </xs:sequence></xs:complexType></xs:element>
  </xs:sequence><xs:attribute name="n" type="xs:integer"/></xs:complexType></xs:element>
</xs:schema>"""
RECORD = "<d:Tx><d:Ref>{ref}</d:Ref><d:Qty>{qty}</d:Qty></d:Tx>"


def _row(**values: Any) -> tuple[Any, ...]:
    return ("K", *(values.get(name) for name in list(ARROW)[1:]))


def _render(work: Path, record: str, rows: list[tuple[Any, ...]], document: str = DOCUMENT, **more: Any) -> str:
    write_rows(work / "transformed.parquet", ARROW, rows)
    output = {"format": "xml", "document": document, "record": record}
    return render(render_request(work, TARGET, output, **more)).path.read_text()


def _record(work: Path, record: str, **values: Any) -> str:
    """Render one record and return its line."""
    text = _render(work, record, [_row(**values)])
    etree.fromstring(text.encode())
    return text.partition("</d:Made>")[2].removesuffix("\n</d:Doc>\n")


def _refusal(work: Path, record: str, rows: list[tuple[Any, ...]], **more: Any) -> RenderError:
    with pytest.raises(RenderError) as refused:
        _render(work, record, rows, **more)
    assert not (work / "artifact").exists()
    return refused.value


def _checked(*files: tuple[str, str]) -> dict[str, Any]:
    return {"xsd_set": {"files": [{"name": name, "content": content} for name, content in files]}}


def test_the_document_is_filled_around_the_records(tmp_path: Path) -> None:
    """The document names report, run, moment and count; each record is one line; our namespace is gone."""
    text = _render(tmp_path, "<d:Tx>{ref}</d:Tx>", [_row(ref="a"), _row(ref="b")])
    assert text == (
        '<?xml version="1.0" encoding="UTF-8"?>\n<d:Doc xmlns:d="urn:d" n="2"><d:Id>trades/R1</d:Id>'
        "<d:Made>2025-03-11T06:30:00Z 2025-03-10</d:Made><d:Tx>a</d:Tx>\n<d:Tx>b</d:Tx>\n</d:Doc>\n"
    )


def test_values_are_plain(tmp_path: Path) -> None:
    """Decimals without trailing zeros or exponent, ISO dates and instants, true and false."""
    values: dict[str, Any] = {
        "qty": 7, "px": Decimal("0.0000001000"), "ok": True, "day": date(2025, 3, 10),
        "at": datetime(2025, 3, 10, 9, 45, 48, 500_000, tzinfo=UTC),
    }  # fmt: skip
    found = _record(tmp_path, "<d:T>{qty} {px} {ok} {day} {at}</d:T>", **values)
    assert found == "<d:T>7 0.0000001 true 2025-03-10 2025-03-10T09:45:48.5Z</d:T>"
    assert _record(tmp_path, "<d:T>{px}</d:T>", px=Decimal("1E+17")) == "<d:T>100000000000000000</d:T>"


def test_text_is_escaped_in_content_and_attributes(tmp_path: Path) -> None:
    """What is markup in XML comes back as the same text from any parser, line ends too."""
    nasty = "a<b>&\"'c\n\r\td]]>ü"
    line = _record(tmp_path, '<d:T a="{note}" b="x{note}y">{note}</d:T>', note=nasty)
    assert "\n" not in line
    found = etree.fromstring(line.replace("<d:T", '<d:T xmlns:d="urn:d"', 1))
    assert (found.get("a"), found.get("b"), found.text) == (nasty, f"x{nasty}y", nasty)


def test_null_elements_and_attributes_are_left_out(tmp_path: Path) -> None:
    """An element that is just a null value, and an attribute that is, are left out; mixed text shows nothing there."""
    record = '<d:T a="{note}" b="x{note}"><d:A>{note}</d:A><d:B>n={note}</d:B><d:C>{ref}</d:C></d:T>'
    assert _record(tmp_path, record, ref="r") == '<d:T b="x"><d:B>n=</d:B><d:C>r</d:C></d:T>'


def test_elements_that_hold_only_null_values_are_left_out(tmp_path: Path) -> None:
    """Leaving out works inside out; literal text or an element without values keeps its parent."""
    record = "<d:T><d:A><d:B>{note}</d:B><d:C c='1'>{px}</d:C></d:A><d:D><d:E/><d:F>{note}</d:F></d:D></d:T>"
    assert _record(tmp_path, record) == "<d:T><d:D><d:E/></d:D></d:T>"
    assert _record(tmp_path, record, px=Decimal(1)) == '<d:T><d:A><d:C c="1">1</d:C></d:A><d:D><d:E/></d:D></d:T>'


@pytest.mark.parametrize(("qty", "shown"), [(1, ""), (20, "<d:A>x</d:A>"), (None, "")])
def test_conditions_decide_over_elements(tmp_path: Path, qty: int | None, shown: str) -> None:
    """An element with `r:when` stands only where the condition is true, not where it is unknown."""
    record = "<d:T><d:K/><d:A r:when='qty &gt; 10'>x</d:A></d:T>"
    assert _record(tmp_path, record, qty=qty) == f"<d:T><d:K/>{shown}</d:T>"


def test_a_choice_is_two_conditions(tmp_path: Path) -> None:
    """Two elements with opposite conditions are a choice; the parent of neither is left out."""
    record = "<d:T><d:K/><d:P><d:A r:when='ok'>a</d:A><d:B r:when='not ok'>b</d:B></d:P></d:T>"
    assert _record(tmp_path, record, ok=True) == "<d:T><d:K/><d:P><d:A>a</d:A></d:P></d:T>"
    assert _record(tmp_path, record, ok=False) == "<d:T><d:K/><d:P><d:B>b</d:B></d:P></d:T>"
    assert _record(tmp_path, record) == "<d:T><d:K/></d:T>"


def test_braces_are_written_twice(tmp_path: Path) -> None:
    """Doubled braces are braces."""
    assert _record(tmp_path, "<d:T>{{{ref}}}</d:T>", ref="r") == "<d:T>{r}</d:T>"


def test_records_inherit_the_documents_namespaces(tmp_path: Path) -> None:
    """Prefixes and the default namespace of the records' place hold in the record; its own are declared in it."""
    document = '<Doc xmlns="urn:d" xmlns:r="urn:regent:template"><r:records/></Doc>'
    text = _render(tmp_path, '<Tx><o:X xmlns:o="urn:o">{ref}</o:X></Tx>', [_row(ref="a")], document)
    assert '<Doc xmlns="urn:d"><Tx><o:X xmlns:o="urn:o">a</o:X></Tx>' in text
    assert etree.fromstring(text.encode())[0].tag == "{urn:d}Tx"


@pytest.mark.parametrize(
    "record",
    [
        "<d:T>{nope}</d:T>", "<d:T>{ref</d:T>", "<d:T>}</d:T>", "<d:T/><d:T/>", "text", "<d:T>", "<x:T/>",
        "<d:T r:when='ok'/>", "<d:T><r:records/></d:T>", "<d:T r:other='1'/>", "<d:T><d:A r:when='nope'/></d:T>",
        "<d:T><d:A r:when='qty'/></d:T>", "</w><d:T/><w>", " ",
    ],
)  # fmt: skip
def test_bad_record_templates_are_refused(tmp_path: Path, record: str) -> None:
    """Unknown names and conditions, loose braces, several roots and broken XML are refused before anything is written."""
    assert _refusal(tmp_path, record, [_row(ref="a")]).code == "template-refused"


@pytest.mark.parametrize(
    "document",
    [
        "<d/>", '<r:records xmlns:r="urn:regent:template"/>', "<d>",
        '<d xmlns:r="urn:regent:template"><r:records/><r:records/></d>',
        '<d xmlns:r="urn:regent:template"><r:records>x</r:records></d>',
        '<d xmlns:r="urn:regent:template" r:when="x"><r:records/></d>',
        '<d xmlns:r="urn:regent:template">{ref}<r:records/></d>',
        '<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]><d xmlns:r="urn:regent:template">&e;<r:records/></d>',
    ],
)  # fmt: skip
def test_bad_document_templates_are_refused(tmp_path: Path, document: str) -> None:
    """A document needs one place for the records, known names, and neither DTD nor entities."""
    assert _refusal(tmp_path, "<T/>", [_row()], document=document).code == "template-refused"


@pytest.mark.parametrize("bad", ["a\x01b", "\x0b", "x\x00", "\ufffe", "\uffff"])
@pytest.mark.parametrize("checked", [True, False])
def test_forbidden_characters_fail_their_record(tmp_path: Path, bad: str, *, checked: bool) -> None:
    """A character that no XML can hold stops the artifact and names its record, with a schema or without."""
    more = _checked(("d.xsd", XSD)) if checked else {}
    error = _refusal(tmp_path, RECORD, [_row(ref="A"), _row(ref=bad), _row(ref="B")], **more)
    assert [(fault.ordinal, fault.key) for fault in error.records] == [(2, "K")]


def test_a_valid_document_passes_its_schema(tmp_path: Path) -> None:
    """Many batches, optional elements missing or not, are one valid document."""
    rows = [_row(ref=f"A{n}", qty=n or None) for n in range(5000)]
    text = _render(tmp_path, RECORD, rows, **_checked(("d.xsd", XSD)))
    etree.XMLSchema(etree.fromstring(XSD)).assertValid(etree.fromstring(text.encode()))
    assert text.count("<d:Tx>") == 5000


def test_invalid_records_are_named_exactly(tmp_path: Path) -> None:
    """Every record at fault is named with ordinal, key and the schema's reason, wherever it stands."""
    rows = [_row(ref="bad" if n in (1500, 3999) else "A", qty=0 if n == 2001 else 1) for n in range(1, 5001)]
    error = _refusal(tmp_path, RECORD, rows, **_checked(("d.xsd", XSD)))
    assert error.code == "xml-invalid"
    assert [fault.ordinal for fault in error.records] == [1500, 2001, 3999]
    assert "Ref" in error.records[0].message
    assert "urn:d" not in error.records[0].message
    assert "source row 1500" in error.message


def test_an_invalid_envelope_is_named_as_such(tmp_path: Path) -> None:
    """A fault in the document around the records is not blamed on one of them, also when there are none."""
    document = DOCUMENT.replace('n="{count}"', 'n="many"')
    for rows in ([_row(ref="A")], []):
        error = _refusal(tmp_path, RECORD, rows, document=document, **_checked(("d.xsd", XSD)))
        assert error.records[0].ordinal == 0
        assert "document" in error.message


def test_held_records_are_not_in_the_document(tmp_path: Path) -> None:
    """Records held in the output phase are neither written nor counted nor checked."""
    failures = (write_failures(tmp_path / "f.parquet", 2),)
    rows = [_row(ref="A"), _row(ref="bad")]
    text = _render(tmp_path, RECORD, rows, failures=failures, **_checked(("d.xsd", XSD)))
    assert 'n="1"' in text
    assert "bad" not in text


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    """Checking on several threads does not change the order."""
    rows = [_row(ref=f"A{n % 977}", note="x&y", qty=n + 1) for n in range(20_000)]
    assert _render(tmp_path, RECORD, rows, **_checked(("d.xsd", XSD))) == _render(tmp_path, RECORD, rows)


def test_schemas_of_one_namespace_in_several_files_load(tmp_path: Path) -> None:
    """A namespace may be spread over files that nobody includes, and files may include each other."""
    head = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:d" xmlns="urn:d" elementFormDefault="qualified">'
    types = f'{head}<xs:simpleType name="Ref"><xs:restriction base="xs:string"><xs:maxLength value="3"/></xs:restriction></xs:simpleType></xs:schema>'
    main = f'{head}<xs:include schemaLocation="types.xsd"/><xs:element name="Tx" type="Ref"/></xs:schema>'
    outer = f'{head}<xs:element name="Doc"><xs:complexType><xs:sequence><xs:element ref="Tx" maxOccurs="unbounded"/></xs:sequence></xs:complexType></xs:element></xs:schema>'
    document = '<Doc xmlns="urn:d" xmlns:r="urn:regent:template"><r:records/></Doc>'
    files = _checked(("main.xsd", main), ("outer.xsd", outer), ("types.xsd", types))
    assert "<Tx>abc</Tx>" in _render(tmp_path, "<Tx>{ref}</Tx>", [_row(ref="abc")], document, **files)
    error = _refusal(tmp_path, "<Tx>{ref}</Tx>", [_row(ref="abcd")], document=document, **files)
    assert error.records[0].ordinal == 1


@pytest.mark.parametrize(
    "content",
    [
        "<a/>", "<xs:schema", XSD.replace("xs:positiveInteger", "xs:nope"),
        XSD.replace('<xs:element name="Doc">', '<xs:include schemaLocation="file:///etc/passwd"/><xs:element name="Doc">'),
        XSD.replace('<xs:element name="Doc">', '<xs:import namespace="urn:x" schemaLocation="http://127.0.0.1:9/x.xsd"/><xs:element name="Doc" type="x:T" xmlns:x="urn:x"/><xs:element name="D2">'),
        '<!DOCTYPE xs:schema [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + XSD.replace("xs:string", "&e;"),
    ],
)  # fmt: skip
def test_bad_schemas_are_refused(tmp_path: Path, content: str) -> None:
    """What is no schema, is broken, or reaches out of its set is refused, not fetched."""
    assert _refusal(tmp_path, RECORD, [_row(ref="A")], **_checked(("d.xsd", content))).code == "xsd-refused"
