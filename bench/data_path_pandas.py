"""The baseline of the data path bench: the same report by one script with pandas, its XML checked with lxml.

Run by `bench.data_path`: `python -m bench.data_path_pandas <url> <table> <folder> <xml|plain>`; prints one line of JSON.
"""

import hashlib
import json
import sys
import time
from pathlib import Path
from xml.sax.saxutils import escape

import adbc_driver_postgresql.dbapi as adbc
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from lxml import etree

from bench import data_path_case as case

_TARGET = pa.schema(
    [
        (name, {"text": pa.string(), "integer": pa.int64(), "decimal": pa.decimal128(18, 5), "date": pa.date32()}.get(
            kind, pa.timestamp("us", "UTC")))
        for name, kind in case.TARGET_TYPES.items()
    ]
)  # fmt: skip


def read(url: str, table: str) -> pd.DataFrame:
    """Read all rows; the price as text, so that no digit is lost."""
    columns = ", ".join(f"{name}::text" if name == "price" else name for name in case.SOURCE_TYPES)
    with adbc.connect(url) as connection:
        return pd.read_sql(f"SELECT {columns} FROM {table}", connection)


def holds(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one boolean column a rule."""
    price = pd.to_numeric(rows["price"])
    as_of, day = pd.Timestamp(case.AS_OF), pd.Timestamp(case.BUSINESS_DATE)
    checks = [
        price > 0, price < 100000, rows["quantity"] > 0, rows["quantity"] < 1000000, rows["version"] >= 1,
        rows["version"] <= 3, rows["side"].isin(["B", "S"]), rows["action"].isin(["NEW", "CANCEL"]),
        rows["capacity"].isin(["AOTC", "DEAL", "MTCH"]), rows["price_ccy"].isin(["EUR", "GBP", "USD", "CHF"]),
        rows["venue"].isin(["XLON", "XETR", "XPAR", "XOFF", "XSWX"]),
        rows["book"].isin(["EQ-CASH", "EQ-PROG", "EQ-PROP", "BD-CASH"]),
        rows["isin"].str.fullmatch("[A-Z]{2}[A-Z0-9]{9}[0-9]"), rows["trader"].str.fullmatch("TR[0-9]{2}"),
        rows["trade_id"].str.fullmatch("T[0-9]{9}"), rows["isin"].str.len() == 12, rows["executed_at"] <= as_of,
        rows["booked_at"] >= rows["executed_at"], pd.to_datetime(rows["settlement_date"]) >= day,
        rows["short_sale"].isna() | (rows["side"] == "S"),
    ]  # fmt: skip
    return pd.concat(checks, axis=1, keys=range(len(checks)))


def transform(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the target records in output order."""
    rows = rows.sort_values(["trade_id", "version"], kind="stable")
    return pd.DataFrame(
        {
            "ref": rows["trade_id"],
            "status": np.where(rows["action"] == "NEW", "NEWT", "CANC"),
            "traded_at": rows["executed_at"],
            "side": rows["side"],
            "instrument": rows["isin"],
            "quantity": rows["quantity"],
            "price": rows["price"],
            "currency": rows["price_ccy"],
            "venue": rows["venue"],
            "country": rows["venue"].map(case.VENUES),
            "counterparty": rows["counterparty"].map(case.COUNTERPARTIES),
            "client": rows["client"],
            "capacity": rows["capacity"],
            "short_sale": rows["short_sale"],
            "settlement": rows["settlement_date"],
        }
    )


def as_text(records: pd.DataFrame) -> pd.DataFrame:
    """Return the records as the text that CSV and XML share."""
    moments = np.datetime_as_string(records["traded_at"].dt.tz_convert(None).to_numpy("datetime64[us]"), unit="us")
    price = records["price"].str.rstrip("0").str.rstrip(".")
    traded = pd.Series(moments, index=records.index).str.rstrip("0").str.rstrip(".") + "Z"
    return records.assign(traded_at=traded, price=price, settlement=records["settlement"].astype(str))


def write_parquet(records: pd.DataFrame, path: Path) -> None:
    """Write Parquet with the target's types."""
    columns = [pa.array(records[f.name], from_pandas=True).cast(f.type) for f in _TARGET]
    pq.write_table(pa.Table.from_arrays(columns, schema=_TARGET), path, compression="zstd")


def write_xml(texts: pd.DataFrame, path: Path) -> None:
    """Write the document, one record a line, as a script would: a loop and f-strings."""
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        stream.write(f"{case.XML_ROOT}{case.XML_HEAD}<NbOfRcrds>{len(texts)}</NbOfRcrds></RptHdr>")
        for row in texts.itertuples(index=False):
            stream.write(_record(row))
        stream.write("</Document>\n")


def _element(name: str, value: object) -> str:
    return f"<{name}>{escape(value)}</{name}>" if isinstance(value, str) else ""


def _record(row: tuple) -> str:  # type: ignore[type-arg]
    if row.status == "CANC":
        return f"<Tx><Cxl><TxId>{escape(row.ref)}</TxId></Cxl></Tx>\n"
    party = _element("LEI", row.counterparty)
    return (
        f"<Tx><New><TxId>{escape(row.ref)}</TxId><TradDt>{row.traded_at}</TradDt><Sd>{escape(row.side)}</Sd>"
        f'<Qty><Unit>{row.quantity}</Unit></Qty><Pric><Amt Ccy="{escape(row.currency)}">{row.price}</Amt></Pric>'
        f"<TradVn>{escape(row.venue)}</TradVn>{_element('Ctry', row.country)}<Id>{escape(row.instrument)}</Id>"
        f"{f'<CtrPty>{party}</CtrPty>' if party else ''}{_element('Clnt', row.client)}<Cpcty>{escape(row.capacity)}</Cpcty>"
        f"{_element('ShrtSellg', row.short_sale)}<SttlmDt>{row.settlement}</SttlmDt></New></Tx>\n"
    )


def check_xml(path: Path) -> None:
    """Check the whole document while reading it once."""
    schema = etree.XMLSchema(etree.fromstring(case.XSD.encode()))
    for _, element in etree.iterparse(str(path), events=("end",), schema=schema, tag="{urn:bench:tx}Tx"):
        element.clear()
        while element.getprevious() is not None:
            del element.getparent()[0]


def main(url: str, table: str, folder: Path, *, xml: bool) -> dict[str, object]:
    """Make the report and return what was measured."""
    seconds, started = {}, time.perf_counter()

    def lap(name: str) -> None:
        nonlocal started
        now = time.perf_counter()
        seconds[name], started = round(now - started, 2), now

    rows = read(url, table)
    lap("extract")
    verdicts = holds(rows)
    good = verdicts.all(axis=1)
    rows[~good].join(verdicts[~good].rename(columns=str)).to_parquet(folder / "failures.parquet")
    lap("validate")
    records = transform(rows[good])
    lap("transform")
    texts = as_text(records)
    texts.to_csv(folder / "report.csv", index=False, lineterminator="\n")
    lap("csv")
    write_parquet(records, folder / "report.parquet")
    lap("parquet")
    if xml:
        write_xml(texts, folder / "report.xml")
        check_xml(folder / "report.xml")
        lap("xml")
    kinds = ["csv", "parquet", *(["xml"] if xml else [])]
    hashes = {kind: _sha256(folder / f"report.{kind}") for kind in kinds}
    total = round(sum(seconds.values()), 2)
    return {"seconds": seconds, "total": total, "out": len(records), "held": int((~good).sum()), "sha256": hashes}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), xml=sys.argv[4] == "xml")))
