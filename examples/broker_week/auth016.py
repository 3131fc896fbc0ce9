"""The report as XML: ISO 20022 auth.016 (transaction report) in its envelope head.003 with a head.001 header."""

from pathlib import Path

from libs.common.vocabulary.xsd import XsdFile, XsdSetSpec

_URN = "urn:iso:std:iso:20022:tech:xsd"
_TEMPLATE = "urn:regent:template"


def xsd_set(folder: Path = Path(__file__).parent / "xsd") -> XsdSetSpec:
    """Read the XML Schemas of header, envelope and report from a folder; by default the example's own small ones."""
    names = ("head.003.001.01.xsd", "head.001.001.01.xsd", "auth.016.001.02.xsd")
    return XsdSetSpec(
        files=tuple(XsdFile(name=name, content=(folder / name).read_text(encoding="utf-8")) for name in names)
    )


def document(firm_lei: str, authority: str) -> str:
    """Return the whole document's template; `authority` is the country of the authority that receives it."""
    return f"""<BizData xmlns="{_URN}:head.003.001.01" xmlns:r="{_TEMPLATE}">
  <Hdr>
    <AppHdr xmlns="{_URN}:head.001.001.01">
      <Fr>{_organisation(firm_lei, "<SchmeNm><Cd>LEI</Cd></SchmeNm>")}</Fr>
      <To>{_organisation(authority)}</To>
      <BizMsgIdr>{{run_id}}</BizMsgIdr>
      <MsgDefIdr>auth.016.001.02</MsgDefIdr>
      <CreDt>{{created}}</CreDt>
    </AppHdr>
  </Hdr>
  <Pyld>
    <Document xmlns="{_URN}:auth.016.001.02">
      <FinInstrmRptgTxRpt><r:records/></FinInstrmRptgTxRpt>
    </Document>
  </Pyld>
</BizData>"""


def record() -> str:
    """Return one record's template over the target schema."""
    return f"""<Tx xmlns="{_URN}:auth.016.001.02" xmlns:r="{_TEMPLATE}">
  <New r:when="report_status == 'NEWT'">
    <TxId>{{transaction_reference}}</TxId>
    <ExctgPty>{{executing_entity}}</ExctgPty>
    <InvstmtPtyInd>{{investment_firm}}</InvstmtPtyInd>
    <SubmitgPty>{{submitting_entity}}</SubmitgPty>
    <Buyr>{_party("buyer")}</Buyr>
    <Sellr>{_party("seller")}</Sellr>
    <OrdrTrnsmssn><TrnsmssnInd>{{order_transmitted}}</TrnsmssnInd></OrdrTrnsmssn>
    <Tx>
      <TradDt>{{traded_at}}</TradDt>
      <TradgCpcty>{{capacity}}</TradgCpcty>
      <Qty><Unit>{{quantity}}</Unit></Qty>
      <Pric><Pric><MntryVal><Amt Ccy="{{price_currency}}">{{price}}</Amt></MntryVal></Pric></Pric>
      <TradVn>{{venue}}</TradVn>
      <CtryOfBrnch>{{venue_member_country}}</CtryOfBrnch>
      <TradPlcMtchgId>{{venue_transaction_id}}</TradPlcMtchgId>
    </Tx>
    <FinInstrm><Id>{{instrument}}</Id></FinInstrm>
    <InvstmtDcsnPrsn r:when="decision_algorithm is not null or decision_person is not null">
      {_person("decision")}<Algo>{{decision_algorithm}}</Algo>
    </InvstmtDcsnPrsn>
    <ExctgPrsn>{_person("execution")}<Algo>{{execution_algorithm}}</Algo></ExctgPrsn>
    <AddtlAttrbts>
      <ShrtSellgInd>{{short_sale}}</ShrtSellgInd>
      <SctiesFincgTxInd>{{financing}}</SctiesFincgTxInd>
    </AddtlAttrbts>
  </New>
  <Cxl r:when="report_status == 'CANC'">
    <TxId>{{transaction_reference}}</TxId>
    <ExctgPty>{{executing_entity}}</ExctgPty>
    <SubmitgPty>{{submitting_entity}}</SubmitgPty>
  </Cxl>
</Tx>"""


def _organisation(identifier: str, scheme: str = "") -> str:
    return f"<OrgId><Id><OrgId><Othr><Id>{identifier}</Id>{scheme}</Othr></OrgId></Id></OrgId>"


def _party(side: str) -> str:
    return f"""<AcctOwnr>
      <Id>
        <LEI>{{{side}_lei}}</LEI>
        <Prsn r:when="{side}_person_id is not null">
          <FrstNm>{{{side}_first_names}}</FrstNm>
          <Nm>{{{side}_surnames}}</Nm>
          <BirthDt>{{{side}_birth_date}}</BirthDt>
          <Othr><Id>{{{side}_person_id}}</Id><SchmeNm><Prtry>CONCAT</Prtry></SchmeNm></Othr>
        </Prsn>
      </Id>
      <CtryOfBrnch>{{{side}_branch_country}}</CtryOfBrnch>
    </AcctOwnr>"""


def _person(role: str) -> str:
    return f"""<Prsn r:when="{role}_person is not null">
        <CtryOfBrnch>{{person_country}}</CtryOfBrnch>
        <Othr><Id>{{{role}_person}}</Id><SchmeNm><Cd>NIDN</Cd></SchmeNm></Othr>
      </Prsn>"""
