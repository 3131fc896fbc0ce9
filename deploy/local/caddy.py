"""The gateway: Caddy on the one public port, everything else behind it on loopback."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from deploy.local.files import private_directory, write_secret
from deploy.local.processes import Program, binary, listens
from deploy.local.routes import ROUTES, Route

_LARGEST_BODY = 64 * 1024 * 1024
# What only we may say to a service: the caller's identity comes from its token, its address from the connection.
_STRIPPED = (
    "X-Tenant-*",
    "X-User-*",
    "X-Regent-*",
    "X-Actor*",
    "X-Internal-*",
    "X-Forwarded-*",
    "X-Real-Ip",
    "Forwarded",
)
_RESPONSE_HEADERS = {
    "X-Content-Type-Options": ["nosniff"],
    "X-Frame-Options": ["DENY"],
    "Referrer-Policy": ["no-referrer"],
    "Cross-Origin-Resource-Policy": ["same-origin"],
}
_NOT_FOUND = {
    "type": "urn:regent:problem:not-found",
    "title": "Not found",
    "status": 404,
    "detail": "Nothing is served at this path.",
}
_UNAVAILABLE = {
    "type": "urn:regent:problem:unavailable",
    "title": "Temporarily unavailable",
    "status": 503,
    "detail": "Starting or restarting; retry.",
}
_TOO_LARGE = {
    "type": "urn:regent:problem:too-large",
    "title": "The request body is too large",
    "status": 413,
    "detail": "At most 64 MiB.",
}


def program(home: Path, *, host: str, port: int, upstreams: Mapping[str, Sequence[int]], documents: Path) -> Program:
    """Write the gateway's configuration below `home` and return it as a program.

    `upstreams` are the ports of each service's replicas; `documents` is served at /openapi.json and /docs.
    """
    private_directory(home)
    content = configuration(home, host=host, port=port, upstreams=upstreams, documents=documents)
    path = write_secret(home / "caddy.json", json.dumps(content, indent=2))
    return Program(
        name="gateway",
        command=(str(binary("caddy")), "run", "--config", str(path)),
        environment={"XDG_DATA_HOME": str(home), "XDG_CONFIG_HOME": str(home), "HOME": str(home)},
        ready=partial(listens, port),
    )


def configuration(
    home: Path, *, host: str, port: int, upstreams: Mapping[str, Sequence[int]], documents: Path
) -> dict[str, Any]:
    """Return Caddy's native configuration. It has no admin endpoint: a change is a restart."""
    served = [_route(route, upstreams[route.service]) for route in ROUTES if upstreams.get(route.service)]
    gateway = {
        "listen": [f"{host}:{port}"],
        "automatic_https": {"disable": True},
        "protocols": ["h1"],
        "read_header_timeout": "10s",
        "max_header_bytes": 65536,
        "routes": [_hygiene(), *served, *_documents(documents), {"handle": [_problem(_NOT_FOUND)]}],
        "errors": {"routes": _errors()},
    }
    return {
        "admin": {"disabled": True, "config": {"persist": False}},
        "storage": {"module": "file_system", "root": str(home)},
        "logging": {"logs": {"default": {"level": "WARN", "encoder": {"format": "console"}}}},
        "apps": {"http": {"grace_period": "2s", "servers": {"gateway": gateway}}},
    }


def _hygiene() -> dict[str, Any]:
    """Return what happens to every request. No compression here: it would rewrite the ETags that If-Match needs."""
    return {
        "handle": [
            {"handler": "headers", "request": {"delete": list(_STRIPPED)}},
            {
                "handler": "headers",
                "response": {"deferred": True, "set": _RESPONSE_HEADERS, "delete": ["Server", "Via"]},
            },
            {"handler": "request_body", "max_size": _LARGEST_BODY},
        ]
    }


def _route(route: Route, ports: Sequence[int]) -> dict[str, Any]:
    paths = [path for prefix in route.prefixes for path in (prefix, f"{prefix}/*")]
    matches: list[dict[str, Any]] = [{"path": paths}] if paths else []
    matches += [{"path_regexp": {"pattern": pattern}} for pattern in route.patterns]
    return {"match": matches, "handle": [_proxy(ports)], "terminal": True}


def _proxy(ports: Sequence[int]) -> dict[str, Any]:
    """Return a proxy to a service's replicas.

    A replica that refuses connections is left out for a second; a request that reached nobody goes to the next one,
    one that was answered by a broken connection only if it is safe to repeat. Answers are passed on as they come.
    """
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"127.0.0.1:{port}"} for port in ports],
        "flush_interval": -1,
        "load_balancing": {
            "selection_policy": {"policy": "least_conn"},
            "try_duration": "15s",
            "try_interval": "100ms",
            "retry_match": [{"method": ["GET", "HEAD", "OPTIONS"]}],
        },
        "health_checks": {"passive": {"fail_duration": "1s", "max_fails": 1}},
        "transport": {
            "protocol": "http",
            "dial_timeout": "2s",
            # shorter than the services keep a connection open (5 s), so that none is used as it closes
            "keep_alive": {"idle_timeout": "3s", "max_idle_conns_per_host": 64},
        },
    }


def _documents(directory: Path) -> list[dict[str, Any]]:
    return [
        {
            "match": [{"path": ["/docs", "/docs/"]}],
            "handle": [{"handler": "rewrite", "uri": "/index.html"}, _files(directory)],
            "terminal": True,
        },
        {"match": [{"path": ["/openapi.json"]}], "handle": [_files(directory)], "terminal": True},
    ]


def _files(directory: Path) -> dict[str, Any]:
    return {"handler": "file_server", "root": str(directory)}


def _errors() -> list[dict[str, Any]]:
    return [
        {
            "match": [{"expression": "{http.error.status_code} == 413"}],
            "handle": [_problem(_TOO_LARGE)],
            "terminal": True,
        },
        {
            "match": [{"expression": "{http.error.status_code} == 404"}],
            "handle": [_problem(_NOT_FOUND)],
            "terminal": True,
        },
        {"handle": [_problem(_UNAVAILABLE)]},
    ]


def _problem(content: Mapping[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": ["application/problem+json"], "X-Request-Id": ["{http.request.uuid}"]}
    if content["status"] == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = ["1"]
    if content["status"] == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        # what was not read of the body must not be taken for the next request
        headers["Connection"] = ["close"]
    return {
        "handler": "static_response",
        "status_code": str(content["status"]),
        "headers": headers,
        "body": json.dumps({**content, "request_id": "{http.request.uuid}"}),
    }
