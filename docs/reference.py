"""The API's reference as one page of plain HTML: no script, nothing fetched from elsewhere."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

Json = Mapping[str, Any]
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #2563eb; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; display: grid; grid-template-columns: 17rem 1fr; }
nav { position: sticky; top: 0; height: 100vh; overflow: auto; padding: 1rem; border-right: 1px solid var(--line); }
nav ul { list-style: none; padding-left: .5rem; margin: .2rem 0 1rem; }
nav li { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; font-size: 13px; }
main { padding: 1rem 2rem 4rem; max-width: 60rem; min-width: 0; }
a { color: var(--accent); text-decoration: none; }
section.operation { border-top: 1px solid var(--line); padding: .8rem 0; }
h3 { font: 600 15px/1.4 ui-monospace, monospace; margin: .3rem 0; }
.method { display: inline-block; min-width: 4.5rem; color: var(--accent); }
.note { color: #888; font-size: 13px; }
table { border-collapse: collapse; margin: .5rem 0; font-size: 14px; }
td, th { border: 1px solid var(--line); padding: .2rem .6rem; text-align: left; vertical-align: top; }
pre { background: var(--soft); padding: .6rem; overflow: auto; font-size: 12.5px; }
@media (max-width: 50rem) { body { display: block; } nav { position: static; height: auto; } main { padding: 1rem; } }
"""


def reference_page(document: Json) -> str:
    """Return the page of an OpenAPI document."""
    tags = [tag["name"] for tag in document["tags"]]
    grouped = {tag: [found for found in _operations(document) if tag in found[2]["tags"]] for tag in tags}
    body = "".join(_group(document, tag, operations) for tag, operations in grouped.items())
    schemas = "".join(_schema(name, schema) for name, schema in document["components"]["schemas"].items())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(document["info"]["title"])} API</title><style>{_STYLE}</style></head>
<body><nav><strong>{escape(document["info"]["title"])} API</strong>
<p class="note"><a href="/openapi.json">openapi.json</a></p>{_contents(grouped)}</nav>
<main><h1>{escape(document["info"]["title"])} API</h1><p>{escape(document["info"]["description"])}</p>
{body}<h2 id="schemas">Schemas</h2>{schemas}</main></body></html>
"""


def _operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, item in document["paths"].items():
        yield from ((method, path, operation) for method, operation in item.items())


def _contents(grouped: Mapping[str, list[tuple[str, str, Json]]]) -> str:
    return "".join(
        f"<a href='#{_anchor(tag)}'>{escape(tag)}</a><ul>{''.join(_link(operation) for _, _, operation in operations)}</ul>"
        for tag, operations in grouped.items()
    )


def _link(operation: Json) -> str:
    return f"<li><a href='#{escape(operation['operationId'])}'>{escape(operation['operationId'])}</a></li>"


def _anchor(tag: str) -> str:
    return "tag-" + "".join(c if c.isalnum() else "-" for c in tag)


def _group(document: Json, tag: str, operations: list[tuple[str, str, Json]]) -> str:
    shown = "".join(_operation(document, *found) for found in operations)
    return f"<h2 id='{_anchor(tag)}'>{escape(tag)}</h2>{shown}"


def _operation(document: Json, method: str, path: str, operation: Json) -> str:
    permission = operation.get("x-permission")
    needs = f"needs <code>{escape(permission)}</code>" if permission else _open_to(operation)
    return (
        f"<section class='operation' id='{escape(operation['operationId'])}'>"
        f"<h3><span class='method'>{method.upper()}</span>{escape(path)}</h3>"
        f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
        f"<p class='note'>{needs}; answered by {escape(operation['x-service'])}</p>"
        f"{_parameters(document, operation)}{_body(operation)}{_answers(operation)}</section>\n"
    )


def _open_to(operation: Json) -> str:
    return "needs a valid token" if operation["security"] else "open to everybody"


def _parameters(document: Json, operation: Json) -> str:
    rows = [_parameter(_resolved(document, parameter)) for parameter in operation.get("parameters", ())]
    head = "<tr><th>parameter</th><th>in</th><th>type</th><th></th></tr>"
    return f"<table>{head}{''.join(rows)}</table>" if rows else ""


def _resolved(document: Json, value: Json) -> Json:
    if "$ref" not in value:
        return value
    found: Any = document
    for step in value["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    resolved: Json = found
    return resolved


def _parameter(parameter: Json) -> str:
    required = " *" if parameter.get("required") else ""
    kind = _kind(parameter["schema"])
    meaning = escape(parameter.get("description", ""))
    return f"<tr><td><code>{escape(parameter['name'])}</code>{required}</td><td>{parameter['in']}</td><td>{kind}</td><td>{meaning}</td></tr>"


def _kind(schema: Json) -> str:
    """Return a schema in a few words, with links to named ones."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"<a href='#schema-{escape(name)}'>{escape(name)}</a>"
    if "enum" in schema:
        return escape(" | ".join(map(str, schema["enum"])))
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(_kind(part) for part in schema[word])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return escape(str(schema.get("format") or schema.get("type") or "any JSON"))


def _body(operation: Json) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    return "".join(f"<p>Body ({escape(media)}): {_kind_or_text(of['schema'])}</p>" for media, of in content.items())


def _kind_or_text(schema: Json) -> str:
    if "properties" in schema:
        return f"<pre>{escape(json.dumps(schema, indent=2))}</pre>"
    return _kind(schema)


def _answers(operation: Json) -> str:
    codes = ", ".join(f"<code>{escape(code)}</code>" for code in operation["responses"] if code != "default")
    return f"<p class='note'>Answers {codes}, or a <a href='#schema-Problem'>problem</a>.</p>"


def _schema(name: str, schema: Json) -> str:
    return f"<section class='operation' id='schema-{escape(name)}'><h3>{escape(name)}</h3><p>{escape(schema.get('description', ''))}</p>{_fields(schema)}</section>\n"


def _fields(schema: Json) -> str:
    if "properties" not in schema:
        return f"<pre>{escape(json.dumps({k: v for k, v in schema.items() if k != 'description'}, indent=2))}</pre>"
    needed = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>{' *' if name in needed else ''}</td><td>{_kind(field)}</td>"
        f"<td>{escape(field.get('description', ''))}</td></tr>"
        for name, field in schema["properties"].items()
    )
    return f"<table>{rows}</table>"
