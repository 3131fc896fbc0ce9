import hashlib
import os
from pathlib import Path

import pytest

from services.runner.destinations.directory import deliver_to_directory
from services.runner.engines.errors import DeliveryError


@pytest.fixture
def artifact(tmp_path: Path) -> tuple[Path, str]:
    """Return a file to deliver and its hash."""
    path = tmp_path / "artifact"
    path.write_bytes(b"a,b\n1,2\n")
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an empty declared root."""
    root = tmp_path / "root"
    root.mkdir()
    return root


def test_the_artifact_arrives_whole(root: Path, artifact: tuple[Path, str]) -> None:
    """The file has the artifact's bytes, the receipt its name below the root, size and hash; nothing else is left."""
    receipt = deliver_to_directory(root, "out/daily", "r.csv", *artifact)
    assert (root / "out/daily/r.csv").read_bytes() == artifact[0].read_bytes()
    assert receipt.model_dump() == {"path": "out/daily/r.csv", "size": 8, "sha256": artifact[1]}
    assert [path.name for path in (root / "out/daily").iterdir()] == ["r.csv"]


def test_delivering_twice_writes_once(root: Path, artifact: tuple[Path, str]) -> None:
    """The same content gives the same receipt and leaves the file alone."""
    first = deliver_to_directory(root, ".", "r.csv", *artifact)
    inode = (root / "r.csv").stat().st_ino
    assert deliver_to_directory(root, ".", "r.csv", *artifact) == first
    assert (root / "r.csv").stat().st_ino == inode


def test_other_content_replaces(root: Path, artifact: tuple[Path, str]) -> None:
    """A file of that name with other content is replaced in one step."""
    (root / "r.csv").write_text("old")
    deliver_to_directory(root, ".", "r.csv", *artifact)
    assert (root / "r.csv").read_bytes() == artifact[0].read_bytes()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\nb", "a\0b", ".regent-x.part", "x" * 201])
def test_names_that_are_no_file_names_are_refused(root: Path, artifact: tuple[Path, str], name: str) -> None:
    """Separators, control characters, our own prefix and overlong names are refused."""
    with pytest.raises(DeliveryError) as refused:
        deliver_to_directory(root, ".", name, *artifact)
    assert refused.value.code == "name-refused"


@pytest.mark.parametrize("path", ["..", "a/../../b", "/tmp", "a\0"])  # noqa: S108 - refused, never used
def test_paths_that_leave_the_root_are_refused(root: Path, artifact: tuple[Path, str], path: str) -> None:
    """Parent references and absolute paths are refused."""
    with pytest.raises(DeliveryError) as refused:
        deliver_to_directory(root, path, "r.csv", *artifact)
    assert refused.value.code == "path-refused"


def test_links_are_not_followed(root: Path, tmp_path: Path, artifact: tuple[Path, str]) -> None:
    """A link among the directories or in the file's place stops the delivery; nothing is written through it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "out").symlink_to(outside)
    (root / "r.csv").symlink_to(outside / "r.csv")
    for path in ("out", "."):
        with pytest.raises(DeliveryError):
            deliver_to_directory(root, path, "r.csv", *artifact)
    (outside / "r.csv").write_text("theirs")
    with pytest.raises(DeliveryError):
        deliver_to_directory(root, ".", "r.csv", *artifact)
    assert (outside / "r.csv").read_text() == "theirs"


def test_a_changed_artifact_is_not_delivered(root: Path, artifact: tuple[Path, str]) -> None:
    """Bytes that do not match the artifact's hash never appear under its name."""
    with pytest.raises(DeliveryError) as refused:
        deliver_to_directory(root, ".", "r.csv", artifact[0], "0" * 64)
    assert refused.value.code == "content-mismatch"
    assert list(root.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_trouble_with_the_disk_can_be_retried(root: Path, artifact: tuple[Path, str]) -> None:
    """A directory that cannot be written is an error that another try may not meet."""
    root.chmod(0o500)
    with pytest.raises(DeliveryError) as failed:
        deliver_to_directory(root, ".", "r.csv", *artifact)
    assert failed.value.retryable


def test_a_missing_root_can_be_retried(tmp_path: Path, artifact: tuple[Path, str]) -> None:
    """A root that is not mounted yet is trouble, not a refusal."""
    with pytest.raises(DeliveryError) as failed:
        deliver_to_directory(tmp_path / "nope", ".", "r.csv", *artifact)
    assert failed.value.retryable
