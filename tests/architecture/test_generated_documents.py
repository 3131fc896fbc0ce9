"""The generated documents are what the code says, and are valid documents."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest
from fastapi.routing import APIRoute

from docs.configuration import LAUNCHER
from docs.generate import documents
from docs.services import routers, routes, settings
from libs.common.events.registry import PUBLISHERS
from tests.architecture.source import ROOT, SERVICES, modules

_TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}
_PLACES = {"query", "header", "path", "cookie"}


@cache
def made() -> dict[str, str]:
    """Return every generated document by its path; making them takes seconds, so not at import."""
    return dict(documents())


def parsed(name: str) -> dict[str, Any]:
    """Return one of the two JSON documents: `openapi` or `asyncapi`."""
    document: dict[str, Any] = json.loads(made()[f"docs/api/{name}.json"])
    return document


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    return parsed("openapi")


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    return parsed("asyncapi")


@pytest.fixture(scope="module", params=["openapi", "asyncapi"])
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    return parsed(request.param)


def test_checked_in_documents_are_current() -> None:
    """Whoever changes a contract runs `make docs`: each file is byte for byte what the code gives."""
    for path, text in made().items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, path


def test_generating_twice_gives_the_same() -> None:
    """Nothing in a document depends on the moment, on order in memory or on the machine."""
    assert dict(documents()) == made()


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a document."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from walk(item)
    if isinstance(value, list):
        for item in value:
            yield from walk(item)


def resolve(document: dict[str, Any], reference: str) -> Any:
    """Return what a local reference points to."""
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """All references are local and resolve."""
    references = {item["$ref"] for item in walk(document) if isinstance(item.get("$ref"), str)}
    assert references
    for reference in references:
        assert resolve(document, reference) is not None, reference


def test_every_schema_is_one(document: dict[str, Any]) -> None:
    """Types are JSON Schema's, required names are declared, alternatives are lists."""
    for name, schema in document["components"]["schemas"].items():
        for part in walk(schema):
            kind = part.get("type")
            if isinstance(kind, str) and "properties" not in (part.get("properties") or {}):
                assert kind in _TYPES, (name, kind)
            if isinstance(part.get("required"), list) and isinstance(part.get("properties"), dict):
                assert set(part["required"]) <= set(part["properties"]), name
            for word in ("anyOf", "oneOf", "allOf", "enum"):
                assert isinstance(part.get(word, []), list | dict), (name, word)


def operations(openapi: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and operation of the OpenAPI document."""
    for path, item in openapi["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def test_every_route_is_described_once(openapi: dict[str, Any]) -> None:
    """The merged document holds exactly the routes of the six services."""
    described = {(method.upper(), path) for method, path, _ in operations(openapi)}
    declared = [
        (m, route.path_format) for service in SERVICES for route in routes(service) for m in route.methods or ()
    ]
    assert len(declared) == len(set(declared))
    assert described == set(declared)


def test_only_pages_are_left_out() -> None:
    """What the document does not hold are pages for people: their account's, and those on the way to a provider and back."""
    hidden = {
        route.path
        for service in SERVICES
        for router in routers(service)
        for route in router.routes
        if isinstance(route, APIRoute) and not route.include_in_schema
    }
    places = ("/account/", "/oauth2/upstream/")
    assert {path for path in hidden if path not in ("/account", "/setup") and not path.startswith(places)} == set()


def test_operation_ids_are_unique_names(openapi: dict[str, Any]) -> None:
    """A generated client gets one method per operation, with a name that one can say."""
    ids = [operation["operationId"] for _, _, operation in operations(openapi)]
    assert len(ids) == len(set(ids))
    assert [name for name in ids if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []


def test_path_parameters_are_declared(openapi: dict[str, Any]) -> None:
    """Each parameter of a path is described, required, and no other is."""
    for method, path, operation in operations(openapi):
        parameters = [resolve(openapi, p["$ref"]) if "$ref" in p else p for p in operation.get("parameters", [])]
        assert {p["in"] for p in parameters} <= _PLACES
        named = [p["name"] for p in parameters if p["in"] == "path" and p["required"]]
        assert sorted(named) == sorted(re.findall(r"\{(\w+)\}", path)), (method, path)
        assert len({(p["in"], p["name"]) for p in parameters}) == len(parameters), (method, path)


def test_every_operation_says_who_may(openapi: dict[str, Any]) -> None:
    """Each operation names its permission and its schemes, or is open; every answer has a description, and problems."""
    scopes = openapi["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]["scopes"]
    for method, path, operation in operations(openapi):
        asked = {scheme: names for entry in operation["security"] for scheme, names in entry.items()}
        assert set(asked) <= set(openapi["components"]["securitySchemes"])
        assert set(asked.get("oauth2", ())) <= set(scopes), (method, path)
        assert asked.get("oauth2", [])[:1] == ([operation["x-permission"]] if "x-permission" in operation else [])
        assert all("description" in answer or "$ref" in answer for answer in operation["responses"].values())
        assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}


def test_the_document_is_openapi_3_1(openapi: dict[str, Any]) -> None:
    """The fields that OpenAPI 3.1 demands are there."""
    assert openapi["openapi"].startswith("3.1.")
    assert {"title", "version"} <= openapi["info"].keys()
    assert {tag["name"] for tag in openapi["tags"]} == {tag for _, _, o in operations(openapi) for tag in o["tags"]}


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("href", "src") and value:
                self.links.add(value)


def test_the_reference_page_needs_nobody_else() -> None:
    """The page fetches nothing from elsewhere, runs no script, and its links lead to places on it."""
    page = _Links()
    page.feed(made()["docs/api/index.html"])
    assert page.tags & {"script", "iframe", "img", "link"} == set()
    assert len(page.ids) == len(set(page.ids))
    assert {link for link in page.links if not link.startswith("#")} == {"/openapi.json"}
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_every_contract_is_in_the_event_document(asyncapi: dict[str, Any]) -> None:
    """Each declared event has a channel, a message and exactly one sender."""
    wanted = {f"{publisher}.{name}" for publisher, names in PUBLISHERS.items() for name in names}
    assert wanted <= asyncapi["channels"].keys()
    assert wanted <= asyncapi["components"]["messages"].keys()
    senders = [operation["channel"]["$ref"].rsplit("/", 1)[-1] for operation in asyncapi["operations"].values()]
    assert sorted(set(senders)) == sorted(senders)
    assert wanted <= set(senders)


def test_the_event_document_is_asyncapi_3(asyncapi: dict[str, Any]) -> None:
    """Channels, operations and messages have what AsyncAPI 3.0 demands, and channel parameters are declared."""
    assert asyncapi["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= asyncapi["info"].keys()
    for name, channel in asyncapi["channels"].items():
        assert {"address", "messages"} <= channel.keys(), name
        assert set(re.findall(r"\{(\w+)\}", channel["address"] or "")) == set(channel.get("parameters", {}))
    for operation in asyncapi["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation.get("messages", []))


def test_audit_reads_every_event(asyncapi: dict[str, Any]) -> None:
    """S39: no event passes by the audit service, except that it need not read its own words from another."""
    missed = [
        name
        for name, c in asyncapi["channels"].items()
        if c.get("x-publisher", "audit") != "audit" and "audit" not in c["x-readers"]
    ]
    assert missed == []


def test_every_setting_is_explained() -> None:
    """Each variable of each service has a description and stands on the page."""
    page = made()["docs/configuration.md"]
    for service in SERVICES:
        for name, field in settings(service).model_fields.items():
            assert field.description, f"{service}.{name}"
            assert f"`REGENT_{name.upper()}`" in page


def test_the_launchers_variables_are_listed() -> None:
    """What the launcher reads from its environment and what the page lists are the same."""
    texts = {
        node.value
        for module in modules("deploy/local")
        if module.path.endswith("configuration.py")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    read = {text for text in texts if re.fullmatch(r"REGENT_[A-Z_]*[A-Z]", text)}
    passed_on = {
        f"REGENT_{text}" for text in texts if re.fullmatch(r"[A-Z]+_[A-Z_]+", text) and not text.startswith("REGENT")
    }
    assert read | passed_on == {name for name in LAUNCHER if "<" not in name}
    assert "REGENT_REPLICAS_" in texts
