"""A PostgreSQL session over a socket that is connected already: the process needs no network of its own."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

import asyncpg

from services.runner.engines.errors import SourceError
from services.runner.sources.requests import QueryRequest

_CONNECT_SECONDS = 15.0


class ConnectedLoop(asyncio.SelectorEventLoop):
    """An event loop whose one outgoing connection is the given socket."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__()
        self._connected = connected

    async def create_connection(self, protocol_factory: Callable[[], Any], *_: Any, **options: Any) -> Any:
        """Take the connected socket, whatever address is asked for."""
        kept = {key: value for key, value in options.items() if key in ("ssl", "server_hostname")}
        return await super().create_connection(protocol_factory, sock=self._connected, **kept)


async def open_session(request: QueryRequest) -> "asyncpg.Connection[Any]":
    """Log in; TLS checks the certificate against the connector's host name.

    Raises:
        SourceError: `unreachable`, `tls-failed`, `login-refused`, `database-missing`.
    """
    connector = request.connector
    try:
        return await asyncpg.connect(
            host=connector.host,
            port=connector.port,
            user=connector.user,
            password=request.password,
            database=connector.database,
            ssl=_tls(connector.tls),
            timeout=_CONNECT_SECONDS,
            statement_cache_size=0,  # a pooler in transaction mode keeps no statements
        )
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        text = f"{connector.host} refuses the user {connector.user!r}: wrong password, or not allowed to log in."
        raise SourceError("login-refused", text) from error
    except asyncpg.InvalidCatalogNameError as error:
        raise SourceError("database-missing", f"{connector.host} has no database {connector.database!r}.") from error
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason
        raise SourceError("tls-failed", f"TLS with {connector.host} failed: {reason}.") from error
    except ConnectionError as error:
        if "SSL" not in str(error):
            raise _unreachable(request, error) from error
        raise SourceError(
            "tls-failed", f"{connector.host} does not offer TLS, which the connector requires."
        ) from error
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise _unreachable(request, error) from error


def _unreachable(request: QueryRequest, error: Exception) -> SourceError:
    place = f"{request.connector.host}:{request.connector.port}"
    text = f"{place} does not answer as PostgreSQL: {_reason(error)}."
    return SourceError("unreachable", text, retryable=True)


def _tls(mode: str) -> ssl.SSLContext | bool:
    if mode == "disable":
        return False
    context = ssl.create_default_context()
    if mode == "require":  # encrypted, but the server is not proven: libpq's meaning of the word
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _reason(error: Exception) -> str:
    return (str(error).partition("\n")[0] or type(error).__name__).rstrip(".")
