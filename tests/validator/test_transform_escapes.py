"""Hostile Python in the real jail of transforms, no filter of the language before it: nothing is reached, nothing gets through (S7, S33)."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from libs.common.jail import JobServer
from services.validator.jail.answers import TransformStoppedError, log_excerpt
from tests.jail.outside import Outside, surroundings
from tests.validator.transforming import PASSING, run

pytestmark = pytest.mark.chaos

BUDGET: dict[str, Any] = {
    "wall_seconds": 3.0, "cpu_seconds": 3, "memory": 1536 << 20, "result_bytes": 16 << 20, "gate_seconds": 5.0,
}  # fmt: skip
KNOWN = ("records.parquet", "result.arrow", "log.txt", "rows.parquet", "trace.parquet", "drops.parquet")
_HEAD = """
import random
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

os, ctypes = random._os, np.ctypeslib.ctypes
sys = os.sys
{facts}

def REACHED(value):
    if value is not None and value is not False:
        os.write(LOGS[0], b"REACHED")
        os._exit(3)

def paths():
    for n in range(3, 64):
        try: yield n, os.readlink(f"/proc/self/fd/{{n}}")
        except OSError: pass

LOGS = [n for n, path in paths() if path.endswith("log.txt")]
ROWS = [n for n, path in paths() if path.endswith("result.arrow")]
PROGRESS = [n for n, path in paths() if "progress" in path]
ANSWERS = [n for n, path in paths() if "memfd:result" in path]

def table(**columns):
    return pa.table({{"_ordinal": pa.array(range(1, 11)), "id": pa.array([f"K{{n}}" for n in range(1, 11)]), **columns}})

def STREAM(made, options=None):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, made.schema, options=options) as writer: writer.write_table(made)
    return bytes(sink.getvalue())

def RAW(data):
    for at in range(0, len(data), 1 << 20): os.pwrite(ROWS[0], data[at : at + (1 << 20)], at)

def FORGE(data):
    os.pwrite(ANSWERS[0], len(data).to_bytes(8, "little") + data, 0)
    os.kill(os.getpid(), 19)

def transform(batches, params):
"""


def cases(name: str) -> list[Any]:
    """Return headings and code of a corpus: every third of them for each build, the others for the long suite."""
    text = (Path(__file__).parent / f"hostile_{name}.txt").read_text(encoding="utf-8")
    parts = [part.partition("\n") for part in text.split("## ")[1:]]
    return [
        pytest.param(heading, code, id=heading, marks=[pytest.mark.long] if number % 3 else [])
        for number, (heading, _, code) in enumerate(parts)
    ]


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    """Yield what the code aims at."""
    async with surroundings(tmp_path) as around:
        yield around


async def tried(server: JobServer, place: Path, outside: Outside, code: str, heading: str) -> list[str]:
    """Run one case and return what it achieved."""
    for each in ("case", "next"):
        (place / each).mkdir()
    facts = "\n".join(f"{name} = {value!r}" for name, value in outside.facts.items())
    body = "".join(f"    {line}\n" for line in (code + "\nif False: yield").splitlines())
    began = time.monotonic()
    found = []
    try:
        made = await run(
            server, place / "case", _HEAD.format(facts=facts) + body, "aggregate", unused="filter", budget=BUDGET
        )
        found += [] if made.done.counted.rows + made.done.counted.dropped <= 10 else ["more came out than went in"]
        found += ["it did not end by itself"] if heading.endswith("ends") else []
    except TransformStoppedError as stopped:
        found += ["nobody is told why"] if not stopped.message or len(stopped.message) > 4000 else []
        found += ["our own code is blamed"] if stopped.code == "internal-error" else []
    if time.monotonic() - began > BUDGET["wall_seconds"] + BUDGET["gate_seconds"] + 2:
        found.append(f"it took {time.monotonic() - began:.1f} s")
    found += ["it was reached"] if "REACHED" in log_excerpt(place / "case") else []
    found += [path.name for path in (place / "case").iterdir() if path.name not in KNOWN]
    after = await run(server, place / "next", PASSING)
    return found + outside.damage() + ([] if after.done.counted.rows == 10 else ["the next job is not served"])


@pytest.mark.parametrize(("heading", "code"), cases("transforms"))
async def test_nothing_is_reached(server: JobServer, tmp_path: Path, outside: Outside, heading: str, code: str) -> None:
    """Files, network, processes, memory, time: whatever the libraries offer for it, the next job finds nothing of it."""
    assert await tried(server, tmp_path, outside, code, heading) == []


@pytest.mark.parametrize(("heading", "code"), cases("rows"))
async def test_nothing_gets_through(
    server: JobServer, tmp_path: Path, outside: Outside, heading: str, code: str
) -> None:
    """Rows that lie, that swell and that never end: refused at the gate or before it, in time."""
    assert await tried(server, tmp_path, outside, code, heading) == []
