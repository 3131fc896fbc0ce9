"""The same blotter in another guise: new keys, another order, the defects in other rows. No rule may know an id."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Mapping

from tests.system.blotter.blotter import Answer, Blotter, Row

_REPEAT, _ORPHAN = "duplicate-report", "cancel-without-original"

_SPOIL: Mapping[str, Callable[[Row], Row]] = {
    "qty-zero": lambda _: {"quantity": "0"},
    "qty-negative": lambda row: {"quantity": f"-{row['quantity']}"},
    "price-text": lambda _: {"price": "n/a"},
    "price-comma": lambda row: {"price": row["price"].replace(".", ",")},
    "ccy-missing": lambda _: {"price_ccy": ""},
    "ccy-minor-unit": lambda _: {"price_ccy": "GBX"},
    "isin-missing": lambda _: {"isin": ""},
    "isin-check-digit": lambda row: {"isin": f"{row['isin'][:-1]}{(int(row['isin'][-1]) + 1) % 10}"},
    "isin-unknown": lambda _: {"isin": "XS0000000009"},
    "whitespace": lambda row: {"isin": f" {row['isin']} "},
    "mic-unknown": lambda _: {"venue": "XZZZ"},
    "mic-lowercase": lambda row: {"venue": row["venue"].lower()},
    "venue-id-missing": lambda _: {"venue_tx_id": ""},
    "time-no-zone": lambda row: {"executed_at": row["executed_at"].replace("T", " ").removesuffix("Z")},
    "time-future": lambda row: {"executed_at": "2035" + row["executed_at"][4:]},
    "time-over-5-years": lambda row: {"executed_at": "2017" + row["executed_at"][4:]},
    "capacity-unknown": lambda _: {"capacity": "PRIN"},
    "capacity-client-mismatch": lambda _: {"capacity": "DEAL"},
    "client-unknown": lambda _: {"client": "CL9999"},
    "cp-unknown": lambda _: {"counterparty": "CP999"},
    "cp-lei-check-digit": lambda _: {"counterparty": "CP021"},
}

_BEFALLS: Mapping[str, Callable[[Row], bool]] = {
    "mic-unknown": lambda row: bool(row["venue_tx_id"]),
    "venue-id-missing": lambda row: bool(row["venue_tx_id"]),
    "capacity-client-mismatch": lambda row: bool(row["client"]),
    "client-unknown": lambda row: bool(row["client"]),
}


def permuted(blotter: Blotter, key: list[Answer], seed: int) -> tuple[Blotter, list[Answer]]:
    """Return a copy with new trade ids, shuffled rows and as many defects of every kind in other rows; and its key.

    Defective rows of the original leave; their places are taken by copies of good ones, so that the size stays.
    """
    rng = random.Random(seed)  # noqa: S311 (a shuffle, no secret)
    defective = {answer.ordinal for answer in key}
    good = [row for ordinal, row in enumerate(blotter.trades, start=1) if ordinal not in defective]
    fillers = [dict(row, trade_id=f"F{n}") for n, row in enumerate(rng.sample(_alone(good), _fields_spoilt(key)))]
    spoilt = _spoil(good + fillers, key, rng)
    rows = [(_renamed(row, seed), kind) for row, kind in spoilt]
    rng.shuffle(rows)
    rows = _later_repeat_is_the_defect(rows)
    answers = [Answer(ordinal, kind) for ordinal, (_, kind) in enumerate(rows, start=1) if kind]
    trades = [row for row, _ in rows]
    return Blotter(trades, blotter.instruments, blotter.counterparties, blotter.clients, blotter.firm_lei), answers


def _alone(rows: list[Row]) -> list[Row]:
    """Return the new trades that no other row refers to."""
    uses = Counter(row["trade_id"] for row in rows)
    return [row for row in rows if uses[row["trade_id"]] == 1]


def _fields_spoilt(key: list[Answer]) -> int:
    return sum(answer.kind in _SPOIL for answer in key)


def _spoil(rows: list[Row], key: list[Answer], rng: random.Random) -> list[tuple[Row, str]]:
    candidates = _alone(rows)
    rng.shuffle(candidates)
    kinds: dict[str, str] = {}
    extra: list[tuple[Row, str]] = []
    for answer in key:
        befalls = _BEFALLS.get(answer.kind, bool)
        chosen = candidates.pop(next(place for place, row in enumerate(candidates) if befalls(row)))
        if answer.kind == _REPEAT:
            extra.append((chosen, _REPEAT))
        elif answer.kind == _ORPHAN:
            extra.append((dict(chosen, trade_id=f"O{len(extra)}", action="CANCEL"), _ORPHAN))
        else:
            kinds[chosen["trade_id"]] = answer.kind
    known = [(row, kinds.get(row["trade_id"], "")) for row in rows]
    return [(row | _SPOIL[kind](row) if kind else row, kind) for row, kind in known] + extra


def _renamed(row: Row, seed: int) -> Row:
    digest = hashlib.sha256(f"{seed} {row['trade_id']}".encode()).hexdigest()
    return dict(row, trade_id=f"Q{digest[:15].upper()}")


def _later_repeat_is_the_defect(rows: list[tuple[Row, str]]) -> list[tuple[Row, str]]:
    """Move the mark of a repeated report to whichever of the equal rows now comes later."""
    repeated = {row["trade_id"] for row, kind in rows if kind == _REPEAT}
    seen: set[str] = set()
    marked = []
    for row, kind in rows:
        later = row["trade_id"] in repeated and row["trade_id"] in seen
        marked.append((row, _REPEAT if later else "" if kind == _REPEAT else kind))
        seen.add(row["trade_id"])
    return marked
