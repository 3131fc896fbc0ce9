"""What a data directory remembers: who runs in it, which ports it uses, its secrets."""

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.files import private_directory, write_secret
from deploy.local.processes import free_port, port_is_free

_KEY_BYTES = 32


class InUseError(RuntimeError):
    """Another launcher runs in this data directory."""


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the data directory for one launcher; the lock dies with the process.

    Raises:
        InUseError: it is held; says by whom.
    """
    path = private_directory(data) / "launcher.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = path.read_text().strip() or "unknown"
            raise InUseError(
                f"Regent already runs in {data} (process {owner}). Stop it, or choose another directory: REGENT_DATA=..."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


class Ports:
    """Loopback ports by name, picked once and kept while they stay free."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ports: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        self._taken: set[int] = set()

    def take(self, name: str) -> int:
        """Return the port of `name`: the remembered one, or another where somebody else uses that now."""
        port = self._ports.get(name, 0)
        while port == 0 or port in self._taken or not port_is_free(port):
            port = free_port()
        self._taken.add(port)
        self._ports[name] = port
        write_secret(self._path, json.dumps(self._ports, indent=2))
        return port


def role_passwords(secrets_directory: Path, roles: Iterable[str]) -> dict[str, str]:
    """Return a password for each database role, made on first use and kept."""
    path = secrets_directory / "database.json"
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    wanted = {role: known.get(role) or secrets.token_urlsafe(24) for role in roles}
    if wanted != known:
        write_secret(path, json.dumps({**known, **wanted}, indent=2))
    return wanted


def key_ring(secrets_directory: Path, service: str) -> Path:
    """Return the file of the service's key ring, made at the first start only.

    A ring that vanished later is not made anew: what it encrypted would be lost without a word.
    """
    path = secrets_directory / f"{service}.keyring.json"
    mark = secrets_directory / f"{service}.keyring.made"
    if not path.exists() and not mark.exists():
        key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
        write_secret(path, json.dumps({"active": "k1", "keys": {"k1": key}}))
        write_secret(mark, "")
    return path
