"""The way to the mail server is protected, and says what went wrong without secrets (S41)."""

import ssl
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.local.processes import free_port
from libs.common.settings import SettingsError
from services.auth.mail.transport import DeferredError, MailServer, RefusedError
from tests.auth.mailbox import mail_server


def mail(to: str = "ann@example.com") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "regent@regent.test", to, "Hello"
    message.set_content("Hello")
    return message


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key and a certificate of its own for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture(scope="module")
def context(certificate: Path) -> ssl.SSLContext:
    """Return what a server with that certificate serves with."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(certificate)
    return made


async def test_starttls_comes_before_the_password(context: ssl.SSLContext, certificate: Path) -> None:
    """S41: on port 587's terms the connection is encrypted, the certificate checked, the user logged in."""
    async with mail_server(context) as box:
        url = f"smtp://regent:s3cret%2Fword@localhost:{box.port}?ca={certificate}"
        await MailServer.parse(url).send(mail())
    assert [each.tls for each in box.mails] == [True]
    assert box.logins == [("regent", "s3cret/word")]


async def test_tls_from_the_start(context: ssl.SSLContext, certificate: Path) -> None:
    """S41: smtps:// is encrypted from the first byte."""
    async with mail_server(context, implicit=True) as box:
        await MailServer.parse(f"smtps://localhost:{box.port}?ca={certificate}").send(mail())
    assert len(box.mails) == 1


async def test_an_unknown_certificate_gets_no_mail(context: ssl.SSLContext) -> None:
    """S41: without trust nothing is sent, and no password."""
    async with mail_server(context) as box:
        with pytest.raises(DeferredError):
            await MailServer.parse(f"smtp://regent:s3cret@localhost:{box.port}").send(mail())
    assert (box.mails, box.logins) == ([], [])


async def test_a_server_without_tls_gets_no_mail() -> None:
    """S41: STARTTLS is demanded, never merely tried."""
    async with mail_server() as box:
        with pytest.raises(DeferredError):
            await MailServer.parse(f"smtp://regent:s3cret@localhost:{box.port}").send(mail())
    assert box.mails == []


async def test_a_wrong_password_is_not_the_mails_fault(context: ssl.SSLContext, certificate: Path) -> None:
    """S41: what the operator has to mend postpones mail; it does not kill it."""
    async with mail_server(context) as box:
        server = MailServer.parse(f"smtp://regent:wrong@localhost:{box.port}?ca={certificate}")
        with pytest.raises(DeferredError, match="535"):
            await server.send(mail())


async def test_an_absent_server_defers() -> None:
    """S41: nobody there: later."""
    with pytest.raises(DeferredError):
        await MailServer.parse(f"smtp://127.0.0.1:{free_port()}?tls=none").send(mail())


@pytest.mark.parametrize(("answer", "error"), [("554 5.7.1 spam", RefusedError), ("451 4.3.0 busy", DeferredError)])
async def test_the_answer_to_the_text_counts(answer: str, error: type[Exception]) -> None:
    """S41: a permanent answer is permanent, a temporary one temporary, also after the text."""
    async with mail_server() as box:
        box.after_data = [answer]
        with pytest.raises(error, match=answer[:9]):
            await MailServer.parse(box.url).send(mail())


@pytest.mark.parametrize(
    ("url", "tls", "port"),
    [
        ("smtp://mail.example.com", "starttls", 587),
        ("smtp://u:p@mail.example.com:25", "starttls", 25),
        ("smtps://mail.example.com", "tls", 465),
        ("smtp://mail.example.com?tls=tls", "tls", 465),
        ("smtp://127.0.0.1?tls=none", "none", 25),
        ("smtp://[::1]:2525?tls=none", "none", 2525),
    ],
)
def test_urls_say_how_to_connect(url: str, tls: str, port: int) -> None:
    """S41: TLS unless on loopback and said so."""
    server = MailServer.parse(url)
    assert (server.tls, server.port) == (tls, port)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.com",
        "http://mail.example.com",
        "smtp://",
        "smtp://mail.example.com?tls=none",
        "smtp://localhost?tls=none",
        "smtp://10.0.0.1?tls=none",
        "smtp://u:hunter2@127.0.0.1?tls=none",
        "smtp://u@mail.example.com",
        "smtps://mail.example.com?tls=starttls",
        "smtp://mail.example.com?tls=maybe",
        "smtp://mail.example.com?tsl=none",
        "smtp://mail.example.com:hunter2",
        "smtp://mail.example.com?ca=/nowhere.pem",
    ],
)
def test_wrong_urls_stop_the_service(url: str) -> None:
    """S41: a wrong setting is named, its content is not."""
    with pytest.raises(SettingsError, match="REGENT_SMTP_URL") as raised:
        MailServer.parse(url)
    assert "hunter2" not in str(raised.value)


def test_the_password_is_in_no_text() -> None:
    """S8: what describes the server hides its password."""
    assert "hunter2" not in repr(MailServer.parse("smtp://u:hunter2@mail.example.com"))
