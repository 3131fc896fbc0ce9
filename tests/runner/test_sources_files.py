import os
from pathlib import Path

import pytest

from services.runner.engines.errors import SourceError
from services.runner.sources.files import open_below


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root with a file in a directory, beside a secret outside."""
    (tmp_path / "secret.csv").write_text("s\n1\n")
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    (root / "in" / "a.csv").write_text("a\n1\n")
    return root


def _code(root: Path, path: str) -> str:
    with pytest.raises(SourceError) as refused:
        os.close(open_below(root, path))
    return refused.value.code


def test_a_file_below_the_root_opens(root: Path) -> None:
    """A relative path, also one that says `.`, opens the file."""
    for path in ("in/a.csv", "./in/./a.csv"):
        descriptor = open_below(root, path)
        assert os.read(descriptor, 10) == b"a\n1\n"
        os.close(descriptor)


@pytest.mark.parametrize("path", ["../secret.csv", "in/../../secret.csv", "/etc/passwd", "", ".", "in/a.csv\0"])
def test_paths_that_leave_the_root_are_refused(root: Path, path: str) -> None:
    """Parent references, absolute and empty paths are refused before anything is opened."""
    assert _code(root, path) == "path-refused"


def test_links_are_not_followed(root: Path) -> None:
    """A symbolic link is refused as the file and as a directory on the way, wherever it leads."""
    (root / "link.csv").symlink_to("in/a.csv")
    (root / "out").symlink_to("..")
    assert _code(root, "link.csv") == "path-refused"
    assert _code(root, "out/secret.csv") == "path-refused"


def test_only_regular_files_open(root: Path) -> None:
    """A named pipe (which would wait for ever) and a directory are refused."""
    os.mkfifo(root / "pipe.csv")
    assert _code(root, "pipe.csv") == "path-refused"
    assert _code(root, "in") == "path-refused"


def test_absent_files_and_roots_are_said_apart(root: Path) -> None:
    """An absent file may come later; an absent root is the operator's."""
    assert _code(root, "in/b.csv") == "file-missing"
    assert _code(root / "nope", "a.csv") == "root-missing"
