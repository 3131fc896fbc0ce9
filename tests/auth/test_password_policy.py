"""Passwords are long, not what guessers try first, and otherwise free (NIST SP 800-63B-4)."""

import pytest

from libs.common.errors import Invalid
from services.auth.password_policy import require_good_password
from tests.auth.world import PASSWORD, Tenant
from tests.frugal import frugally

EMAIL = "ann.smith@goodbroker.example"


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "fourteen chars",
        "x" * 1025,
        "a" * 20,
        "abababababababab",
        "my name is ann.smith ok",
        "passwordpassword",
        "Password12345678",
        "P@ssw0rd-P@ssw0rd",
        "123456789012345",
        "qwertyuiopasdfgh",
        "1qaz2wsx3edc4rfv",
        "iloveyouiloveyou",
        "Summer2026Winter2025!",
        "Regent-Reporting-2026",
        "goodbroker-smith-1",
        "!@#$%^&*()987654",
        "x4x4x4x4x4x4x4x4x4",
        "zaq-xyz-zaq-xyz-zaq-xyz-",
    ],
)
def test_a_weak_password_is_refused_with_its_reason(password: str) -> None:
    """Length, variety, the owner's name, and what a guesser tries first are looked at."""
    with pytest.raises(Invalid) as refusal:
        require_good_password(password, email=EMAIL)
    assert refusal.value.fields[0].field == "/password"
    assert password not in refusal.value.fields[0].message


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "  " + "pass phrase " * 80,
        "eighty-four lamps in oslo",
        "48159203741958362",
        "aplaceforlowercase",
        "пароль из кириллицы",
        "🦊🐢🌲🎻🚲🍋🧭🕯️🎈🪁🧵🪙🛶🥁🪴",
    ],
)
def test_a_long_password_of_any_characters_is_taken_whole(password: str) -> None:
    """There are no composition rules, and nothing is trimmed or cut."""
    assert require_good_password(password, email=EMAIL) == password


def test_beside_a_second_factor_eight_characters_do() -> None:
    """A password that never opens anything alone may be short, but still not common."""
    assert require_good_password("mv9?tulp", email=EMAIL, second_factor=True) == "mv9?tulp"
    for refused in ("mv9?tul", "Passw0rd", "qwertz12"):
        with pytest.raises(Invalid):
            require_good_password(refused, email=EMAIL, second_factor=True)


def test_spellings_of_one_text_are_one_password() -> None:
    """Composed and decomposed letters, and full-width ones, are the same password."""
    composed = require_good_password("caf\u00e9 au lait a oslo", email=EMAIL)
    assert require_good_password("cafe\u0301 au lait a oslo", email=EMAIL) == composed
    assert require_good_password("caf\u00e9 au lait a \uff4fslo", email=EMAIL) == composed


def test_the_longest_password_is_judged_quickly() -> None:
    """Nobody keeps the event loop busy with a long password."""
    longest = "".join(f"password{n:03}é" for n in range(85))
    assert frugally(lambda one: require_good_password(one, email=EMAIL), longest, 0.2)


async def test_the_problem_document_gives_the_reason(tenant: Tenant) -> None:
    """Whoever chooses a password is told why it is not taken, and where it stood."""
    async with tenant.caller() as owner:
        answer = await owner.post("/v1/password", json={"current": PASSWORD, "password": "passwordpassword"})
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:regent:problem:password-refused"
    assert answer.json()["errors"][0]["field"] == "/password"
    assert "common passwords" in answer.json()["errors"][0]["message"]
