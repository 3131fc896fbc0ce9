"""A second opinion: which rows are defective and what a report must say, calculated in plain Python.

Neither the expression language nor the data engine takes part, so that their mistakes show.
"""

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import iso4217
import iso10383

from tests.system.blotter.blotter import Answer, Blotter, Row

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_MICS = frozenset(mic.value.mic for mic in iso10383.MIC)
_CURRENCIES = frozenset(currency.code for currency in iso4217.Currency)
_OFF_VENUE = ("XOFF", "XXXX")
_PREFIXES = ("de ", "van den ")
_NUMBERS = ("Qty/Unit", "MntryVal/Amt")


def luhn_is_right(isin: str) -> bool:
    """Check an ISIN's form and its check digit (ISO 6166)."""
    if not re.fullmatch(r"[A-Z]{2}[A-Z0-9]{9}[0-9]", isin):
        return False
    digits = [int(digit) for character in isin for digit in str(int(character, 36))]
    doubled = [digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def lei_is_right(lei: str) -> bool:
    """Check an LEI's form and its check digits (ISO 17442)."""
    form = re.fullmatch(r"[A-Z0-9]{18}(0[2-9]|[1-8]\d|9[0-8])", lei)
    return bool(form) and int("".join(str(int(character, 36)) for character in lei)) % 97 == 1


def defects(blotter: Blotter, as_of: datetime) -> list[Answer]:
    """Find every defect of every row, in source order; a row with two defects appears twice."""
    judges = _row_judges(blotter, as_of)
    seen: set[tuple[str, str, str]] = set()
    originals = {(row["trade_id"], row["version"]) for row in blotter.trades if row["action"] == "NEW"}
    found: list[Answer] = []
    for ordinal, row in enumerate(blotter.trades, start=1):
        key = (row["trade_id"], row["version"], row["action"])
        if key in seen:
            found.append(Answer(ordinal, "duplicate-report"))
        if row["action"] == "CANCEL" and key[:2] not in originals:
            found.append(Answer(ordinal, "cancel-without-original"))
        found += [Answer(ordinal, kind) for judge in judges if (kind := judge(row))]
        seen.add(key)
    return found


def _row_judges(blotter: Blotter, as_of: datetime) -> list[Callable[[Row], str | None]]:
    isins = {row["isin"] for row in blotter.instruments}
    clients = {row["code"] for row in blotter.clients}
    leis = {row["code"]: row["lei"] for row in blotter.counterparties}
    return [
        lambda row: _isin_defect(row["isin"], isins),
        lambda row: _quantity_defect(row["quantity"]),
        lambda row: _price_defect(row["price"]),
        lambda row: _currency_defect(row["price_ccy"]),
        lambda row: _venue_defect(row["venue"], row["venue_tx_id"]),
        lambda row: _time_defect(row["executed_at"], as_of),
        lambda row: _capacity_defect(row["capacity"], row["client"]),
        lambda row: "client-unknown" if row["client"] and row["client"] not in clients else None,
        lambda row: _counterparty_defect(leis.get(row["counterparty"])),
    ]


def _isin_defect(isin: str, known: set[str]) -> str | None:
    if not isin:
        return "isin-missing"
    if isin != isin.strip():
        return "whitespace"
    if not luhn_is_right(isin):
        return "isin-check-digit"
    return None if isin in known else "isin-unknown"


def _quantity_defect(quantity: str) -> str | None:
    number = Decimal(quantity)
    return "qty-zero" if number == 0 else "qty-negative" if number < 0 else None


def _price_defect(price: str) -> str | None:
    if _NUMBER.fullmatch(price):
        return None
    return "price-comma" if _NUMBER.fullmatch(price.replace(",", ".")) else "price-text"


def _currency_defect(currency: str) -> str | None:
    if not currency:
        return "ccy-missing"
    return None if currency in _CURRENCIES else "ccy-minor-unit"


def _venue_defect(venue: str, transaction: str) -> str | None:
    if venue not in _MICS:
        return "mic-lowercase" if venue.upper() in _MICS else "mic-unknown"
    return None if transaction or venue in _OFF_VENUE else "venue-id-missing"


def _time_defect(text: str, as_of: datetime) -> str | None:
    if not _INSTANT.fullmatch(text):
        return "time-no-zone"
    moment = datetime.fromisoformat(text)
    if moment > as_of:
        return "time-future"
    return "time-over-5-years" if moment < as_of.replace(year=as_of.year - 5) else None


def _capacity_defect(capacity: str, client: str) -> str | None:
    if capacity not in ("DEAL", "MTCH", "AOTC"):
        return "capacity-unknown"
    return None if (capacity == "AOTC") == bool(client) else "capacity-client-mismatch"


def _counterparty_defect(lei: str | None) -> str | None:
    if lei is None:
        return "cp-unknown"
    return None if lei_is_right(lei) else "cp-lei-check-digit"


def expected(blotter: Blotter, row: Row, branch: str) -> dict[str, str]:
    """Say what the `Tx` element for this row must hold: paths below it (`@Ccy` for an attribute) and their texts.

    `branch` is the country of the firm's branch.
    """
    head = {"TxId": row["trade_id"], "ExctgPty": blotter.firm_lei, "SubmitgPty": blotter.firm_lei}
    if row["action"] == "CANCEL":
        return {f"Cxl/{path}": text for path, text in head.items()}
    parts = head | {"InvstmtPtyInd": "true", "OrdrTrnsmssn/TrnsmssnInd": "false"}
    parts |= _parties(blotter, row, branch) | _transaction(row, branch) | _deciders(row, branch)
    return {f"New/{path}": canonical(path, text) for path, text in parts.items()}


def canonical(path: str, text: str) -> str:
    """Bring numbers and instants to one form; other texts stay as they are."""
    if path.endswith(_NUMBERS):
        return f"{Decimal(text).normalize():f}"
    if path.endswith("TradDt"):
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    return text


def _parties(blotter: Blotter, row: Row, branch: str) -> dict[str, str]:
    counterparty = next(party for party in blotter.counterparties if party["code"] == row["counterparty"])
    near, far = {"Id/LEI": blotter.firm_lei}, {"Id/LEI": counterparty["lei"]}
    if row["client"]:
        client = next(client for client in blotter.clients if client["code"] == row["client"])
        near, far = far, _person(client) | {"CtryOfBrnch": branch}
    buyer, seller = (near, far) if row["side"] == "B" else (far, near)
    return {f"Buyr/AcctOwnr/{path}": text for path, text in buyer.items()} | {
        f"Sellr/AcctOwnr/{path}": text for path, text in seller.items()
    }


def _person(client: Row) -> dict[str, str]:
    return {
        "Id/Prsn/FrstNm": client["first_name"].upper(),
        "Id/Prsn/Nm": client["last_name"].upper(),
        "Id/Prsn/BirthDt": client["birth_date"],
        "Id/Prsn/Othr/Id": _concat(client),
        "Id/Prsn/Othr/SchmeNm/Prtry": "CONCAT",
    }


def _concat(client: Row) -> str:
    names = [_letters(client["first_name"]), _letters(client["last_name"])]
    return client["nationality"] + client["birth_date"].replace("-", "") + "".join(f"{name:#<5.5}" for name in names)


def _letters(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    folded = unicodedata.normalize("NFKD", name.upper().replace("Ł", "L").replace("Ø", "O"))
    return re.sub(r"[^A-Z]", "", folded)


def _transaction(row: Row, branch: str) -> dict[str, str]:
    parts = {
        "Tx/TradDt": row["executed_at"],
        "Tx/TradgCpcty": row["capacity"],
        "Tx/Qty/Unit": row["quantity"],
        "Tx/Pric/Pric/MntryVal/Amt": row["price"],
        "Tx/Pric/Pric/MntryVal/Amt/@Ccy": row["price_ccy"],
        "Tx/TradVn": row["venue"],
        "FinInstrm/Id": row["isin"],
        "AddtlAttrbts/SctiesFincgTxInd": "false",
    }
    if row["venue"] not in _OFF_VENUE:
        parts |= {"Tx/CtryOfBrnch": branch, "Tx/TradPlcMtchgId": row["venue_tx_id"]}
    if row["short_sale"]:
        parts["AddtlAttrbts/ShrtSellgInd"] = row["short_sale"]
    return parts


def _deciders(row: Row, branch: str) -> dict[str, str]:
    trader = {"Prsn/CtryOfBrnch": branch, "Prsn/Othr/Id": branch + row["trader"], "Prsn/Othr/SchmeNm/Cd": "NIDN"}
    one = {"Algo": row["algo"]} if row["algo"] else trader
    roles = ["InvstmtDcsnPrsn", "ExctgPrsn"] if row["capacity"] == "DEAL" else ["ExctgPrsn"]
    return {f"{role}/{path}": text for role in roles for path, text in one.items()}
