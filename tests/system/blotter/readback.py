"""Reading a rendered report back: what each `Tx` says, as paths and texts."""

from pathlib import Path

from lxml import etree

from tests.system.blotter.blotter import Row
from tests.system.blotter.independent import canonical

_AUTH = "{urn:iso:std:iso:20022:tech:xsd:auth.016.001.02}"


def transactions(path: Path) -> list[dict[str, str]]:
    """Return every transaction of the file, in order, as `independent.expected` writes them."""
    root = etree.parse(path).getroot()
    (reports,) = root.iter(f"{_AUTH}FinInstrmRptgTxRpt")
    return [_flat(tx) for tx in reports.iterchildren(f"{_AUTH}Tx")]


def identity(row: Row) -> tuple[str, str]:
    """Return what tells which kind of report of which trade a source row becomes."""
    return ("Cxl" if row["action"] == "CANCEL" else "New", row["trade_id"])


def reported(transaction: dict[str, str]) -> tuple[str, str]:
    """Return the same of a transaction read back."""
    (path,) = [path for path in transaction if path in ("New/TxId", "Cxl/TxId")]
    return path.split("/")[0], transaction[path]


def _flat(element: etree._Element, path: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for child in element:
        below = f"{path}{etree.QName(child).localname}"
        if below in found:
            raise ValueError(f"{below} occurs twice")
        found |= {f"{below}/@{name!s}": str(value) for name, value in child.attrib.items()}
        if len(child):
            found |= _flat(child, f"{below}/")
        else:
            found[below] = canonical(below, child.text or "")
    return found
