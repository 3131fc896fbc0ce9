"""How much a job can write in all: no more than it may, however it goes about it."""

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.common.jail import MIB, JobFailed, JobServer, Limits
from libs.common.jail.endings import Ending
from libs.common.jail.room import Room

LIMITS = Limits(total_size=32 * MIB)
FALLOCATE, CLONE = (285, 56) if os.uname().machine == "x86_64" else (47, 220)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("size", [MIB, 16])
async def test_files_cannot_fill_the_disk(jobs: JobServer, tmp_path: Path, directory: int, size: int) -> None:
    """Each file is small, their sum or their number is not: the job ends at once, as out of room; what was there counts not."""
    (tmp_path / "before").write_bytes(b"x" * 64 * MIB)
    endings: list[Ending] = []
    jobs._observe = endings.append
    try:
        with pytest.raises(JobFailed) as failed:
            await jobs.run({"act": "scatter", "bytes": size}, writable=[directory], limits=LIMITS)
    finally:
        jobs._observe = lambda _: None
    assert failed.value.kind == "SpillTooLarge"
    [ending] = endings
    assert (ending.outcome, ending.code) == ("limit", "SpillTooLarge")
    assert ending.cpu_seconds > 0
    before = sorted(tmp_path.rglob("*"))
    assert await jobs.run({"act": "echo", "value": 1}) == 1
    assert sorted(tmp_path.rglob("*")) == before


async def test_little_is_written_past_the_bound(jobs: JobServer, tmp_path: Path) -> None:
    """What a job that writes as fast as it can has written when it is dead is its room and a few milliseconds' worth more."""
    past = []
    for number in range(5):
        place = tmp_path / str(number)
        place.mkdir()
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        with pytest.raises(JobFailed, match="SpillTooLarge"):
            await jobs.run({"act": "scatter", "bytes": MIB}, writable=[descriptor], limits=LIMITS)
        os.close(descriptor)
        past.append(sum(path.stat().st_blocks * 512 for path in place.rglob("*")) - 32 * MIB)
    assert statistics.median(past) < 16 * MIB, past


async def test_one_file_cannot_be_larger_than_all_may_be(jobs: JobServer, tmp_path: Path) -> None:
    """The kernel keeps a single file within the room, to the byte."""
    with (tmp_path / "out").open("w+b") as file:
        job = {"act": "fill", "bytes": 64 * MIB}
        await jobs.run(job, writable=[file.fileno()], limits=LIMITS)
        assert os.fstat(file.fileno()).st_size == 32 * MIB


@pytest.mark.parametrize("way", ["removed", "nameless", "beheaded"])
async def test_what_has_no_name_takes_room_too(jobs: JobServer, directory: int, way: str) -> None:
    """Files that a job removes, or never names, and goes on to fill are its own like others, whoever of its threads is left."""
    with pytest.raises(JobFailed, match="SpillTooLarge"):
        await jobs.run({"act": "hide", "way": way, "bytes": MIB}, writable=[directory], limits=LIMITS)


async def test_nothing_but_files_can_be_made(jobs: JobServer, tmp_path: Path, directory: int) -> None:
    """Directories below each other without end nobody could remove; a name that is given up can leave a device behind."""
    assert await jobs.run({"act": "build"}, writable=[directory], limits=LIMITS) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


async def test_a_file_can_take_the_place_of_another(jobs: JobServer, tmp_path: Path, directory: int) -> None:
    """A job that is done a second time finds what it wrote the first time, and engines write anew beside it."""
    (tmp_path / "old").write_text("old")
    assert await jobs.run({"act": "supersede"}, writable=[directory], limits=LIMITS) == ["old"]
    assert (tmp_path / "old").read_text() == "new"


async def test_whoever_has_a_room_maps_no_files(jobs: JobServer, tmp_path: Path) -> None:
    """A file that was removed, closed and is mapped would be seen by nobody."""
    with (tmp_path / "out").open("w+b") as file:
        file.write(b"x" * 4096)
        file.flush()
        assert await jobs.run({"act": "map"}, writable=[file.fileno()], limits=LIMITS) == "PermissionError"
        assert await jobs.run({"act": "map"}, writable=[file.fileno()]) == "done"
    assert await jobs.run({"act": "memory", "bytes": 64 * MIB}, limits=LIMITS) == 64 * MIB


async def test_blocks_cannot_be_had_without_writing(jobs: JobServer, tmp_path: Path) -> None:
    """What takes a disk in one call, past the end of a file and past its limit, is refused; giving blocks back is not."""
    with (tmp_path / "out").open("w+b") as file:
        for mode, told in ((0, "Operation not supported"), (1, "Operation not supported"), (3, "done")):
            job = {"act": "reach", "number": FALLOCATE, "arguments": [mode, 0, 64 * MIB]}
            assert await jobs.run(job, writable=[file.fileno()], limits=Limits(file_size=MIB)) == told
        assert os.fstat(file.fileno()).st_blocks == 0


async def test_threads_share_their_descriptors(jobs: JobServer) -> None:
    """A thread with a table of its own could hold files where nobody looks."""
    thread = 0x100 | 0x800 | 0x10000  # memory, signal handlers, a thread
    job = {"act": "system_call", "number": CLONE, "arguments": [thread]}
    assert await jobs.run(job) == "Operation not permitted"


async def test_room_that_is_kept_is_no_matter(jobs: JobServer, tmp_path: Path) -> None:
    """A job that writes what it may is not disturbed."""
    with (tmp_path / "out").open("w+b") as file:
        job = {"act": "fill", "bytes": 4 * MIB}
        assert await jobs.run(job, writable=[file.fileno()], limits=Limits(total_size=8 * MIB)) == "done"


def test_it_is_looked_at_the_more_often_the_less_is_left(tmp_path: Path, directory: int) -> None:
    """Far from the bound it costs next to nothing."""
    pauses = []
    for most in (64 * 1024 * MIB, 256 * MIB, MIB):
        room = Room.of(most, [directory], 1)
        began = time.monotonic()
        assert not room.look()
        pauses.append(room.due - began)
        room.close()
    assert pauses[0] >= 0.2
    assert pauses[0] > pauses[1] > pauses[2]
