"""Every template takes exactly its variables, in text and HTML (S41)."""

from uuid import uuid4

import pytest
from jinja2 import UndefinedError

from libs.common.context import utc_now
from libs.common.settings import SettingsError
from services.auth.mail.addresses import mailable
from services.auth.mail.message import BadMessageError, Sender, compose
from services.auth.mail.outbox import Letter
from services.auth.mail.templates import TEMPLATES, Texts

TEXTS = Texts()
SENDER = Sender("Regent", "regent@regent.test")


def values(template: str) -> dict[str, str]:
    return {name: f"value-of-{name}" for name in TEMPLATES[template]}


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_template_shows_each_variable(template: str) -> None:
    """S41: with all its variables a template renders, and both parts show all of them."""
    text = TEXTS.render(template, values(template))
    assert text.subject
    assert "{" not in text.subject + text.plain + text.html
    assert "Subject:" not in text.plain
    for name in TEMPLATES[template]:
        assert f"value-of-{name}" in text.plain
        assert f"value-of-{name}" in text.html


@pytest.mark.parametrize(
    ("template", "missing"), [(t, name) for t, names in TEMPLATES.items() for name in sorted(names)]
)
def test_a_missing_variable_is_an_error(template: str, missing: str) -> None:
    """S41: nothing is sent with a hole in it."""
    given = {name: value for name, value in values(template).items() if name != missing}
    with pytest.raises(UndefinedError):
        TEXTS.render(template, given)


def test_html_is_escaped() -> None:
    """What people call themselves is text, not markup."""
    given = {**values("invitation"), "tenant": "<script>alert(1)</script> & Co"}
    text = TEXTS.render("invitation", given)
    assert "<script>" not in text.html
    assert "&lt;script&gt;" in text.html
    assert "<script>" in text.plain


@pytest.mark.parametrize("bad", ["Broker\r\nBcc: victim@example.com", "Broker\nX: y"])
def test_a_value_cannot_add_a_header(bad: str) -> None:
    """A line break in a subject makes no header: the mail is refused."""
    letter = Letter("invitation", "ann@example.com", {**values("invitation"), "tenant": bad})
    try:
        message = compose(TEXTS, SENDER, uuid4(), letter, utc_now())
    except BadMessageError:
        return
    assert message["Bcc"] is None
    assert message["X"] is None


@pytest.mark.parametrize(
    ("address", "envelope"),
    [
        ("ann@example.com", "ann@example.com"),
        ("ann+regent@sub.example.com", "ann+regent@sub.example.com"),
        ("o'hara@example.com", "o'hara@example.com"),
        ("ann@m\u00fcnchen.example", "ann@xn--mnchen-3ya.example"),
        ("ann\u00fc@example.com", None),
        ("a,b@example.com", None),
        ("a;b@example.com", None),
        ('"a b"@example.com', None),
        ("a..b@example.com", None),
        (".a@example.com", None),
        ("a@-example.com", None),
        ("a@example..com", None),
        ("a@[127.0.0.1]", None),
        ("a@example.com\r\nX: y", None),
        ("a@example.com,b@example.com", None),
        ("<a@example.com>", None),
        ("a" * 65 + "@example.com", None),
        ("@example.com", None),
        ("example.com", None),
    ],
)
def test_only_plain_addresses_get_mail(address: str, envelope: str | None) -> None:
    """An address is one mailbox in one domain; anything that a mail server could read differently is refused."""
    assert mailable(address) == envelope


@pytest.mark.parametrize("text", ["", "Regent", "Regent <x>", "a@b.c\r\nBcc: d@e.f", "a@b.c, d@e.f"])
def test_a_wrong_sender_stops_the_service(text: str) -> None:
    """The sender is checked at start."""
    with pytest.raises(SettingsError, match="REGENT_MAIL_FROM"):
        Sender.parse(text)
