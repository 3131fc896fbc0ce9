"""The AsyncAPI 3.0 document: every event, who says it and who reads it; the one request."""

from typing import Any

from pydantic.json_schema import models_json_schema

from libs.common.bus.topology import EVENTS, TOPOLOGY, Request, Service
from libs.common.events.envelope import Data, Event
from libs.common.events.registry import PUBLISHERS
from services.catalog.commands import LeaseRequest

Json = dict[str, Any]
_REQUESTS = {"rpc.catalog.lease": LeaseRequest}
_REF = "#/components/schemas/{model}"


def event_document() -> Json:
    """Return the document."""
    schemas, names = _schemas()
    events = [(publisher, name) for publisher, declared in PUBLISHERS.items() for name in sorted(declared)]
    channels = {_id(publisher, name): _channel(publisher, name) for publisher, name in events}
    operations = {f"send.{_id(publisher, name)}": _operation(publisher, name) for publisher, name in events}
    for request in TOPOLOGY.requests:
        channels |= _request_channels(request)
        operations |= _request_operations(request)
    messages = {_id(publisher, name): _message(publisher, name, names) for publisher, name in events}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Regent events",
            "version": "1",
            "description": f"CloudEvents 1.0, structured JSON, on the JetStream stream {EVENTS}. "
            "Within a version fields are only added, and optional; readers ignore unknown ones.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages | _request_messages(names), "schemas": schemas},
    }


def _id(publisher: str, name: str) -> str:
    return f"{publisher}.{name}"


def _schemas() -> tuple[Json, dict[type, str]]:
    models: list[type[Any]] = [Event, *_REQUESTS.values()]
    models += sorted({data for declared in PUBLISHERS.values() for data in declared.values()}, key=_model_key)
    made, definitions = models_json_schema([(model, "serialization") for model in models], ref_template=_REF)
    names = {model: str(made[model, "serialization"]["$ref"]).rsplit("/", 1)[-1] for model in models}
    schemas: Json = dict(sorted(definitions["$defs"].items()))
    schemas["LeaseAnswer"] = _lease_answer()
    return schemas, names


def _model_key(model: type[Data]) -> tuple[str, str]:
    return model.__module__, model.__name__


def _lease_answer() -> Json:
    return {
        "type": "object",
        "description": "One of the three: the sealed credentials, why they are refused, or that they cannot be read now.",
        "properties": {name: {"type": "string"} for name in ("box", "refused", "failed")},
        "minProperties": 1,
        "maxProperties": 1,
    }


def _channel(publisher: str, name: str) -> Json:
    key = _id(publisher, name)
    readers = [service.name for service in TOPOLOGY.services if service.name != publisher and _reads(service, key)]
    return {
        "address": f"evt.{{tenant}}.{key}",
        "parameters": {"tenant": {"description": "the tenant's id, a UUID"}},
        "messages": {key: {"$ref": f"#/components/messages/{key}"}},
        "x-publisher": publisher,
        "x-readers": readers,
    }


def _reads(service: Service, key: str) -> bool:
    """Say whether a service's durable delivers an event to it; no filter means every one."""
    return not service.reads or any(
        _covers(pattern.split("."), ["evt", "*", *key.split(".")]) for pattern in service.reads
    )


def _covers(pattern: list[str], subject: list[str]) -> bool:
    if pattern[-1] == ">":
        return len(subject) >= len(pattern) and _covers(pattern[:-1], subject[: len(pattern) - 1])
    return len(pattern) == len(subject) and all(a in ("*", b) for a, b in zip(pattern, subject, strict=True))


def _operation(publisher: str, name: str) -> Json:
    key = _id(publisher, name)
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{key}"},
        "messages": [{"$ref": f"#/channels/{key}/messages/{key}"}],
        "x-service": publisher,
    }


def _message(publisher: str, name: str, names: dict[type, str]) -> Json:
    model = PUBLISHERS[publisher][name]
    properties = {
        "source": {"const": publisher},
        "type": {"const": f"{publisher}.{name}.v1"},
        "data": {"$ref": _REF.format(model=names[model])},
    }
    return {
        "name": f"{publisher}.{name}.v1",
        "summary": (model.__doc__ or "").strip().splitlines()[0],
        "contentType": "application/cloudevents+json",
        "payload": {"allOf": [{"$ref": _REF.format(model=names[Event])}, {"properties": properties}]},
    }


def _request_channels(request: Request) -> Json:
    subject = request.subject
    return {
        subject: {
            "address": subject,
            "messages": {subject: {"$ref": f"#/components/messages/{subject}"}},
        },
        f"{subject}.answer": {
            "address": None,
            "messages": {f"{subject}.answer": {"$ref": f"#/components/messages/{subject}.answer"}},
        },
    }


def _request_operations(request: Request) -> Json:
    subject = request.subject
    answer = f"#/channels/{subject}.answer"
    return {
        f"ask.{subject}": {
            "action": "send",
            "channel": {"$ref": f"#/channels/{subject}"},
            "reply": {"channel": {"$ref": answer}, "messages": [{"$ref": f"{answer}/messages/{subject}.answer"}]},
            "x-service": request.asker,
            "x-answered-by": request.answerer,
        }
    }


def _request_messages(names: dict[type, str]) -> Json:
    messages: Json = {}
    for subject, model in _REQUESTS.items():
        messages[subject] = {
            "name": subject,
            "summary": (model.__doc__ or "").strip().splitlines()[0],
            "contentType": "application/json",
            "payload": {"$ref": _REF.format(model=names[model])},
        }
        messages[f"{subject}.answer"] = {
            "name": f"{subject}.answer",
            "summary": "Credentials sealed to the asker's key, or why there are none.",
            "contentType": "application/json",
            "payload": {"$ref": _REF.format(model="LeaseAnswer")},
        }
    return messages
