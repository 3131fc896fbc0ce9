"""Every escape of the corpus is tried by native code in a child: none takes effect, and the next job is served (S7)."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from libs.common.jail import MIB, JobCrashed, JobError, JobServer, JobServerLost, Limits
from libs.common.jail.tables import Expected, TableError, reseal_tables
from tests.jail.escaping import SCHEMA
from tests.jail.outside import OPEN, Outside, surroundings
from tests.jail.test_host import ROOT
from tests.jail.test_isolation import WHERE_ALLOWED

pytestmark = pytest.mark.chaos

CORPUS = Path(__file__).with_name("corpus")
CATEGORIES = sorted(path.stem for path in CORPUS.glob("*.txt"))
HEAVY = "resources"
QUICK = [name for name in CATEGORIES if name != HEAVY]
LIMITS = Limits(address_space=1536 * MIB, cpu_seconds=2, wall_seconds=2.0, file_size=8 * MIB, open_files=64)
PRELOAD = ("pyarrow", "pyarrow.parquet", "libs.common.jail.resealing", "tests.jail.escaping")
_HOUSED = """
from pathlib import Path
from libs.common.jail import WarmParent, host
import sys
preload = tuple(sys.argv[2].split(","))
host.run(Path(sys.argv[1]), {"one": WarmParent("tests.jail.escaping:run", preload)}, "namespaces")
"""


@dataclass(frozen=True, slots=True)
class Escape:
    name: str
    flags: frozenset[str]
    code: str


def escapes(category: str) -> Iterator[Escape]:
    """Yield the cases of a category: a heading with flags, then code.

    `safe` ones take effect without a jail, `exec` ones would leave without an answer, `namespaces` need that tier, results of
    `sound` ones may be taken.
    """
    for part in (CORPUS / f"{category}.txt").read_text(encoding="utf-8").split("## ")[1:]:
        heading, _, code = part.partition("\n")
        name, *flags = heading.split()
        yield Escape(name, frozenset(flags), code)


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    async with surroundings(tmp_path) as around:
        yield around


@pytest.fixture(scope="module")
async def portable() -> AsyncIterator[JobServer]:
    async with JobServer("tests.jail.escaping:run", preload=PRELOAD) as server:
        yield server


@asynccontextmanager
async def housed(directory: Path) -> AsyncIterator[JobServer]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOUSED, str(directory / "jail"), ",".join(PRELOAD), cwd=ROOT, env={}
    )
    try:
        async with JobServer.at(directory / "jail", "one", isolation="namespaces") as server:
            await server.run({"code": "VALUE = 42", "facts": {}}, [0], writable=[1])  # it is warm
            yield server
    finally:
        process.kill()
        await process.wait()


async def escaped(server: JobServer, outside: Outside, case: Escape) -> list[str]:
    """Try one escape and return what it achieved: nothing, in time, and the next job is served."""
    output = outside.place / "output"
    began = time.monotonic()
    with (outside.place / "input").open("rb") as given, output.open("w+b") as taken:
        job = {"code": case.code, "facts": outside.facts}
        try:
            told = await server.run(job, [given.fileno()], writable=[taken.fileno()], limits=LIMITS)
            found = ["it says so"] if told == {"escaped": True} else []
        except JobServerLost:
            found = ["the warm parent died"]
        except JobError as error:
            left = isinstance(error, JobCrashed) and (error.signal, error.code) == (0, 0)
            found = ["another program ran"] if left and "exec" in case.flags else []
    if time.monotonic() - began > LIMITS.wall_seconds + 1:
        found.append(f"it took {time.monotonic() - began:.1f} s")
    if output.stat().st_size and case.name.startswith(("parquet", "arrow", "extension")):
        found += await unsound(server, outside, case)
    after = await server.run({"code": "VALUE = 42", "facts": {}}, [0], writable=[1])
    return found + outside.damage() + ([] if after == 42 else ["the next job is not served"])


async def unsound(server: JobServer, outside: Outside, case: Escape) -> list[str]:
    """Return what is wrong when a hostile result gets through: only one of which nothing but sound values can be read may."""
    source, target = outside.place / "output", outside.place / "sealed"
    try:
        await reseal_tables(server, [Expected(source, target, SCHEMA, 2, most_rows=10)])
    except TableError:
        return []
    return [] if "sound" in case.flags else ["a hostile result was taken"]


async def tried(server: JobServer, outside: Outside, category: str, *, namespaces: bool, every: int = 1) -> list[str]:
    found = []
    for number, case in enumerate(escapes(category)):
        if number % every and "namespaces" not in case.flags:
            continue
        if namespaces or "namespaces" not in case.flags:
            found += [f"{category}/{case.name}: {what}" for what in await escaped(server, outside, case)]
    return found


@pytest.mark.parametrize("category", QUICK)
async def test_nothing_escapes(portable: JobServer, outside: Outside, category: str) -> None:
    """In the portable tier no case of the corpus reaches anything (S7)."""
    assert await tried(portable, outside, category, namespaces=False) == []


@WHERE_ALLOWED
async def test_nothing_escapes_from_a_house(tmp_path: Path, outside: Outside) -> None:
    """In the namespace tier neither, and there is less to see (S7): every third case; all of them in the long suite."""
    async with housed(tmp_path) as server:
        for category in ("files", "proc", "processes", "signals"):
            assert await tried(server, outside, category, namespaces=True, every=3) == []


@pytest.mark.long
async def test_nothing_is_used_up(portable: JobServer, outside: Outside) -> None:
    """Bombs of processes, threads, memory, descriptors, pipes, output and time end within their budget and a second (S7)."""
    assert await tried(portable, outside, HEAVY, namespaces=False) == []


@pytest.mark.long
@WHERE_ALLOWED
async def test_nothing_at_all_from_a_house(tmp_path: Path, outside: Outside) -> None:
    """The whole corpus once more in the namespace tier (S7)."""
    async with housed(tmp_path) as server:
        for category in CATEGORIES:
            assert await tried(server, outside, category, namespaces=True) == []


def test_the_corpus_is_large() -> None:
    """At least a hundred and fifty escapes, each with a name of its own."""
    names = [f"{category}/{case.name}" for category in CATEGORIES for case in escapes(category)]
    assert len(names) == len(set(names)) >= 150


async def test_the_corpus_is_alive(outside: Outside) -> None:
    """Without the jail nearly all cases that are safe to try take effect: the tests above would see an escape."""
    cases = {
        f"{category}/{case.name}": case.code for category in QUICK for case in escapes(category) if "safe" in case.flags
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.jail.escaping",
        cwd=ROOT,
        stdin=-1,
        stdout=-1,
        env={"PATH": os.defpath, "REGENT_SECRET": "s"},
    )
    said, _ = await process.communicate(json.dumps({"cases": cases, "facts": outside.facts}).encode())
    dead = sorted(cases.keys() - set(json.loads(said)))
    for place in OPEN:  # what they left there is ours
        mark = Path(place) / outside.facts["MARK"]
        if mark.is_dir():
            mark.rmdir()
        mark.unlink(missing_ok=True)
    assert len(cases) >= 60
    assert len(dead) <= len(cases) // 10, dead
