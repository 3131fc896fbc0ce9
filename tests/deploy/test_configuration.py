"""What the operator may choose is read once and checked."""

import json
from pathlib import Path

import pytest

from deploy.local.configuration import Configuration
from libs.common.settings import SettingsError


def test_nothing_needs_to_be_set() -> None:
    """An empty environment gives port 8080, one process of each service and no reach beyond."""
    chosen = Configuration.load({})
    assert (chosen.port, chosen.host, chosen.public_url) == (8080, "127.0.0.1", "http://localhost:8080")
    assert set(chosen.replicas.values()) == {1}
    assert (chosen.source_roots, chosen.destination_roots, chosen.outbound_allow) == ({}, {}, ())


def test_replicas_are_per_service() -> None:
    """One service can have more processes than the others."""
    assert Configuration.load({"REGENT_REPLICAS_RUNNER": "3"}).replicas["runner"] == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REGENT_PORT", "http"),
        ("REGENT_PORT", "0"),
        ("REGENT_PORT", "65536"),
        ("REGENT_PORT", "-1"),
        ("REGENT_REPLICAS_AUDIT", "0"),
        ("REGENT_REPLICAS_AUDIT", "1000"),
        ("REGENT_SOURCE_ROOTS", "/does/not/exist.json"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    """A value that cannot be is refused by its name."""
    with pytest.raises(SettingsError, match=name):
        Configuration.load({name: value})


def test_roots_are_absolute(tmp_path: Path) -> None:
    """A relative root would depend on where the launcher was started: refused."""
    path = tmp_path / "roots.json"
    path.write_text(json.dumps({"*": {"inbox": "data/in"}}))
    with pytest.raises(SettingsError, match="'data/in' is not an absolute path"):
        Configuration.load({"REGENT_SOURCE_ROOTS": str(path)})
