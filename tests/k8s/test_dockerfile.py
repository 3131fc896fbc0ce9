"""The one Dockerfile, read as text: nothing here can build an image."""

import re
from pathlib import Path

import pytest

from deploy.local.configuration import SERVICES

ROOT = Path(__file__).parents[2]
TEXT = re.sub(r"\\\n\s*", "", (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8"))
_STAGE = re.compile(r"^FROM (?P<base>\S+) AS (?P<name>\w+)$", re.MULTILINE)


def stages() -> dict[str, tuple[str, list[str]]]:
    """Return each stage with its base and its instructions."""
    marks = list(_STAGE.finditer(TEXT))
    ends = [mark.start() for mark in marks[1:]] + [len(TEXT)]
    lines = [TEXT[mark.end() : end].splitlines() for mark, end in zip(marks, ends, strict=True)]
    return {
        mark["name"]: (mark["base"], [line for line in found if line and not line.startswith("#")])
        for mark, found in zip(marks, lines, strict=True)
    }


def lineage(name: str) -> list[str]:
    """Return the instructions that an image of a stage has run, from its base image on."""
    base, own = stages()[name]
    return [*(lineage(base) if base in stages() else []), *own]


def test_bases_can_be_pinned() -> None:
    """Every foreign base is an argument, so that production passes it by digest."""
    assert {base for base, _ in stages().values()} - stages().keys() == {"${BASE}", "${UV}"}


def test_packages_are_installed_as_locked() -> None:
    """Only what is locked, with hashes, as wheels; the one exception is named."""
    (install,) = (line for line in stages()["packages"][1] if "pip install" in line)
    assert "--require-hashes" in install
    assert "--only-binary :all: --no-binary nkeys " in install


def test_images_are_made_with_the_same_installer() -> None:
    """The image's uv is the one that everybody else's packages were installed with."""
    locked = re.search(r"^uv==(\S+)", (ROOT / "requirements-bootstrap.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert locked
    assert f"ARG UV=ghcr.io/astral-sh/uv:{locked[1]}\n" in TEXT


@pytest.mark.parametrize("target", ["service", "provision"])
def test_images_run_as_nobody(target: str) -> None:
    """An image runs as 65532, without a health check of Docker's own, as process 1."""
    run = lineage(target)
    assert [line for line in run if line.startswith("USER")] == ["USER 65532:65532"]
    assert "HEALTHCHECK NONE" in run
    assert run[-1].startswith("ENTRYPOINT [")


@pytest.mark.parametrize("target", ["service", "provision"])
def test_images_hold_no_tools(target: str) -> None:
    """No package manager is added, and pip is taken away."""
    run = lineage(target)
    assert not [line for line in run if re.search(r"apt|/uv\b|pip install|curl|ADD ", line)]
    assert any("pip uninstall" in line for line in run)


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_copied_exists(service: str) -> None:
    """Each path that is copied from the repository is there, for every service."""
    copied = [
        line.split()[1]
        for _, run in stages().values()
        for line in run
        if line.startswith("COPY") and "--from" not in line
    ]
    for path in copied:
        assert (ROOT / path.replace("${SERVICE}", service)).exists(), path
    assert (ROOT / "services" / service / "main.py").exists()


def test_the_last_stage_is_the_service() -> None:
    """A build without a target makes a service's image."""
    assert list(stages())[-1] == "service"
