"""A data directory remembers its ports and secrets, and serves one launcher at a time."""

import json
import socket
from pathlib import Path

import pytest

from deploy.local.state import InUseError, Ports, key_ring, locked, role_passwords
from libs.common.crypto.keyring import KeyRing


def test_a_second_launcher_is_refused(tmp_path: Path) -> None:
    """Whoever comes second is told who runs there and what to do."""
    with (
        locked(tmp_path),
        pytest.raises(InUseError, match=r"already runs in .*process \d+.*REGENT_DATA"),
        locked(tmp_path),
    ):
        pass


def test_the_lock_goes_with_its_holder(tmp_path: Path) -> None:
    """After the first launcher ended, the next one may run; the directory is closed to others."""
    with locked(tmp_path):
        pass
    with locked(tmp_path):
        assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_ports_are_remembered(tmp_path: Path) -> None:
    """A second start uses the ports of the first."""
    path = tmp_path / "ports.json"
    first = Ports(path).take("nats")
    assert Ports(path).take("nats") == first


def test_a_taken_port_is_replaced(tmp_path: Path) -> None:
    """A remembered port that somebody else uses now gives way to another, which is remembered."""
    path = tmp_path / "ports.json"
    first = Ports(path).take("nats")
    with socket.create_server(("127.0.0.1", first)):
        second = Ports(path).take("nats")
    assert second != first
    assert Ports(path).take("nats") == second


def test_no_port_is_dealt_twice(tmp_path: Path) -> None:
    """Two names never share a port, even before anybody listens."""
    ports = Ports(tmp_path / "ports.json")
    assert len({ports.take(f"service-{number}") for number in range(50)}) == 50


def test_passwords_are_kept_private_and_stay(tmp_path: Path) -> None:
    """A role's password is made once, is nobody else's, and can be read by the owner of the directory only."""
    first = role_passwords(tmp_path, ["a", "b"])
    assert role_passwords(tmp_path, ["a", "b", "c"]) | first == role_passwords(tmp_path, ["a", "b", "c"])
    assert len(set(first.values())) == 2
    assert (tmp_path / "database.json").stat().st_mode & 0o777 == 0o600


def test_a_key_ring_is_made_once(tmp_path: Path) -> None:
    """The first start makes a ring that the services accept; later starts use the same."""
    path = key_ring(tmp_path, "catalog")
    made = path.read_text()
    assert KeyRing.parse(made).active == "k1"
    assert key_ring(tmp_path, "catalog").read_text() == made
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_lost_key_ring_is_not_invented_again(tmp_path: Path) -> None:
    """A ring that vanished stays missing, so that its service stops instead of losing its secrets (S8)."""
    key_ring(tmp_path, "catalog").unlink()
    assert not key_ring(tmp_path, "catalog").exists()


def test_services_have_keys_of_their_own(tmp_path: Path) -> None:
    """No two services share a key."""
    rings = [json.loads(key_ring(tmp_path, name).read_text())["keys"]["k1"] for name in ("auth", "catalog", "audit")]
    assert len(set(rings)) == 3
