"""What a failure says to people: templates rendered by the engine, with the record's own texts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from libs.expressions import quote_identifier, quote_literal

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_EMPTY = "(empty)"


def names_in(template: str) -> list[str]:
    """Return the names that stand in braces, each once, in order."""
    return list(dict.fromkeys(_PLACEHOLDER.findall(template)))


def placeholders(template: str, known: Sequence[str]) -> list[str]:
    """Return the fields that `template` shows, in order; other braces are plain text."""
    return [name for name in _PLACEHOLDER.findall(template) if name in known]


@dataclass(frozen=True, slots=True)
class Said:
    """What a rule without a message of its own says: `plain` as it is, then `template` with its braces."""

    plain: str
    template: str = ""


def said_of(message: str, default: Said) -> Said:
    """Return what a failure says: the rule's own message, or the default."""
    return Said("", message) if message else default


def message_sql(template: str, known: Sequence[str], figures: Sequence[str] = (), plain: str = "") -> str:
    """Return SQL over the texts `h` that renders `template` after `plain`; a null or empty field reads "(empty)".

    `figures` are shown too: measures of the record's group, over `g`.
    """
    parts = [quote_literal(plain)] if plain else []
    end = 0
    for match in _PLACEHOLDER.finditer(template):
        if match[1] in known or match[1] in figures:
            shown = _figure(match[1]) if match[1] in figures else _shown(match[1])
            parts += [quote_literal(template[end : match.start()]), shown]
            end = match.end()
    parts.append(quote_literal(template[end:]))
    return "(" + " || ".join(parts) + ")"


def fields_sql(fields: Sequence[str]) -> str:
    """Return SQL over the texts `h` of a JSON object: field name → text or null."""
    pairs = ", ".join(f"{quote_literal(name)}, h.{quote_identifier(name)}" for name in fields)
    return f"CAST(json_object({pairs}) AS VARCHAR)"


def _shown(name: str) -> str:
    return f"coalesce(nullif(h.{quote_identifier(name)}, ''), {quote_literal(_EMPTY)})"


def _figure(name: str) -> str:
    return f"coalesce(CAST(g.{quote_identifier(name)} AS VARCHAR), {quote_literal(_EMPTY)})"
