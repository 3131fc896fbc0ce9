"""`make demo` as somebody with nothing but this repository runs it."""

import asyncio
import hashlib
import os
import re
import sys
from pathlib import Path

import pytest

from deploy.local.processes import free_port
from deploy.local.services import ROOT

_LEDGER = re.compile(r"^  (extract|validate|transform|render|deliver) +((?:[\d,]+ *){8})$", re.MULTILINE)
_ARTIFACT = re.compile(r"^  (\S+\.(?:csv|parquet|xml)) +[\d,]+ +([\d,]+) +([0-9a-f]{64})$", re.MULTILINE)


async def _demo(data: Path, port: int) -> tuple[int, str]:
    """Run the demo once; returns its exit code and all that it said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REGENT_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local", "demo"),
        cwd=ROOT,
        env={**kept, "REGENT_DATA": str(data), "REGENT_PORT": str(port), "ONCE": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "data"


async def test_demo_shows_a_proven_report(data: Path) -> None:
    """It ends well, its ledger adds up, its files are those that it names, its trail is proven (S1, S3)."""
    code, said = await _demo(data, free_port())
    assert code == 0, said
    ledger = [[int(number.replace(",", "")) for number in row.split()] for _, row in _LEDGER.findall(said)]
    assert len(ledger) >= 4, said
    for came, created, *went in ledger:
        assert came + created == sum(went)
    assert ledger[0][:2] == [0, 5000]
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in _reports(data).iterdir()}
    shown = _ARTIFACT.findall(said)
    assert {name: sha256 for name, _, sha256 in shown} == files
    assert {records for _, records, _ in shown} == {f"{ledger[-1][2]:,}"}
    assert len(files) == 3
    assert re.search(r"^  proven: the first \d+ entries are what the held checkpoint promised$", said, re.MULTILINE)


async def test_second_start_finds_the_data_again(data: Path) -> None:
    """The same directory holds what the first start made, and says so instead of making it twice."""
    if not data.is_dir():
        pytest.skip("the first start has not run")
    code, said = await _demo(data, free_port())
    assert code == 1
    assert "has users already" in said
    assert "choose another: REGENT_DATA=" in said


def _reports(data: Path) -> Path:
    return data.with_name(f"{data.name}-reports") / "reports"
