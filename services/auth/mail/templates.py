"""The texts of mails: per template a text part, whose first line is the subject, and an HTML part."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

_FOLDER = Path(__file__).with_name("templates")
_SUBJECT = "Subject: "

TEMPLATES: Mapping[str, frozenset[str]] = {
    "signup": frozenset({"link", "valid"}),
    "signup-known": frozenset({"link", "valid"}),
    "reset": frozenset({"link", "valid"}),
    "password-changed": frozenset({"when", "link"}),
    "factor-changed": frozenset({"what", "when", "link"}),
    "factors-reset": frozenset({"by", "when", "link", "valid", "again"}),
    "identity-linked": frozenset({"provider", "tenant", "when", "link"}),
    "email-change": frozenset({"link", "valid"}),
    "email-changed": frozenset({"when"}),
    "invitation": frozenset({"link", "valid", "tenant", "inviter"}),
}
"""Every template with its variables."""


@dataclass(frozen=True, slots=True)
class Text:
    """A rendered mail."""

    subject: str
    plain: str
    html: str


class Texts:
    """Renders mails; every template is compiled once, at the start."""

    def __init__(self) -> None:
        environment = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=select_autoescape(("html",), default=False),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._plain = {name: environment.get_template(f"{name}.txt") for name in TEMPLATES}
        self._html = {name: environment.get_template(f"{name}.html") for name in TEMPLATES}

    def render(self, template: str, values: Mapping[str, str]) -> Text:
        """Return a mail's texts.

        Raises:
            KeyError: there is no such template.
            jinja2.TemplateError: a variable is missing.
        """
        plain = self._plain[template].render(values)
        first, _, body = plain.partition("\n")
        return Text(first.removeprefix(_SUBJECT), body.strip() + "\n", self._html[template].render(values))
