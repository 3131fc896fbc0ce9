"""What auth decides without a database."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Forbidden, Invalid, TooManyRequests
from services.auth import domain
from services.auth.domain import KeyAges
from services.auth.opaque import RefreshToken
from services.auth.permissions import covers, covers_all
from services.auth.protocol import OAuthError

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("Ann@Example.COM", "ann@example.com"),
        ("  ann@example.com ", "ann@example.com"),
        ("\uff41nn@example.com", "ann@example.com"),
        ("STRASSE@example.com", "strasse@example.com"),
        ("straße@example.com", "strasse@example.com"),
    ],
)
def test_an_address_is_one_account_however_it_is_spelled(given_: str, kept: str) -> None:
    """Case, spaces and compatibility forms do not make another account."""
    assert domain.normalise_email(given_) == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "@x.com",
        "ann@",
        "a b@x.com",
        "ann@x.com\r\nBcc: b@x.com",
        "a@b@c",
        "a\x00@x.com",
        "ann@x..com",
        "a" * 65 + "@x.com",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Nothing that could carry a header or a second address passes."""
    with pytest.raises(Invalid) as refusal:
        domain.normalise_email(text)
    assert refusal.value.fields[0].field == "/email"


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, "unknown"),
        ("nonsense", "unknown"),
    ],
)
def test_neighbours_are_throttled_together(address: str | None, block: str) -> None:
    """An IPv6 customer has a whole /64 (S10)."""
    assert domain.address_block(address) == block


def test_the_wait_ends_when_the_oldest_failure_no_longer_counts() -> None:
    """Retry-After is exact (S10)."""
    failures = [NOW - timedelta(minutes=minute) for minute in (14, 10, 5, 3, 1)]
    domain.require_tries_left(failures[1:], 5, NOW)
    with pytest.raises(TooManyRequests) as refusal:
        domain.require_tries_left(failures, 5, NOW)
    assert refusal.value.retry_after == 60
    domain.require_tries_left(failures, 5, NOW + timedelta(seconds=60))


@pytest.mark.parametrize(("earlier", "minutes"), [(0, 15), (5, 30), (10, 60), (15, 120), (40, 120)])
def test_who_goes_on_failing_waits_longer(earlier: int, minutes: int) -> None:
    """The wait doubles with every five failures of a day, three times at most (S10)."""
    old = [NOW - timedelta(hours=10, minutes=minute) for minute in range(earlier)]
    with pytest.raises(TooManyRequests) as refusal:
        domain.require_tries_left([*old, *[NOW] * 5], 5, NOW)
    assert refusal.value.retry_after == minutes * 60


def test_tries_that_are_being_made_count_until_they_end() -> None:
    """Parallel tries cannot overshoot, and say that they are not failures (S10)."""
    assert domain.require_tries_left([NOW] * 2, 5, NOW, being_made=2) == 2
    with pytest.raises(domain.Busy):
        domain.require_tries_left([NOW] * 2, 5, NOW, being_made=3)


@pytest.mark.parametrize(
    ("held", "requested", "result"),
    [
        ({"run:read"}, None, {"run:read"}),
        ({"run:read"}, "", {"run:read"}),
        ({"run:*"}, "run:start run:read", {"run:start", "run:read"}),
        ({"run:*"}, "run:*", {"run:*"}),
    ],
)
def test_a_scope_narrows(held: set[str], requested: str | None, result: set[str]) -> None:
    """Less than what is held may be asked for."""
    assert domain.narrowed(frozenset(held), requested) == result


@pytest.mark.parametrize("requested", ["  ", " run:read", "run:read  run:start", "run:read\t", 'run:"read'])
def test_a_malformed_scope_is_none(requested: str) -> None:
    """Names with one space between them (RFC 6749, 3.3)."""
    with pytest.raises(OAuthError):
        domain.narrowed(frozenset({"run:*"}), requested)


@given(st.frozensets(st.sampled_from(["run:read", "run:*", "user:read", "user:*", "run:start"])), st.data())
def test_a_scope_never_widens(held: frozenset[str], data: st.DataObject) -> None:
    """Whatever is asked for, what is given is covered by what is held."""
    wanted = data.draw(
        st.frozensets(st.sampled_from(["run:read", "run:*", "user:write", "user:*", "platform:tenants"]))
    )
    try:
        result = domain.narrowed(held, " ".join(wanted))
    except Invalid:
        assert not covers_all(held, wanted)
    else:
        assert covers_all(held, result)


def test_nobody_gives_or_takes_more_than_they_have() -> None:
    """Not even who may write every role."""
    domain.require_assignable(frozenset({"run:*"}), frozenset({"run:start"}))
    with pytest.raises(Forbidden):
        domain.require_assignable(frozenset({"role:*"}), frozenset(), frozenset({"report:publish"}))
    for held, wanted in (({"run:read"}, "run:start"), ({"role:*"}, "tenant:write"), ({"role:*"}, "platform:tenants")):
        with pytest.raises(Forbidden) as refusal:
            domain.require_assignable(frozenset(held), frozenset({wanted}))
        assert refusal.value.extra == {"permissions": [wanted]}


def test_a_wildcard_covers_its_resource_only() -> None:
    """`run:*` is not `runner:read`."""
    assert covers(frozenset({"run:*"}), "run:read")
    assert not covers(frozenset({"run:*"}), "runner:read")
    assert not covers(frozenset({"run:read"}), "run:*")


@pytest.mark.parametrize(
    ("ages", "step"),
    [
        (KeyAges(None, None, has_next=False), "first"),
        (KeyAges(NOW - DAY, None, has_next=False), None),
        (KeyAges(NOW - 30 * DAY + HOUR, None, has_next=False), "prepare"),
        (KeyAges(NOW - 30 * DAY, None, has_next=True), None),
        (KeyAges(NOW - 30 * DAY, NOW - HOUR + timedelta(seconds=1), has_next=True), None),
        (KeyAges(NOW - 30 * DAY, NOW - HOUR, has_next=True), "promote"),
        (KeyAges(NOW - DAY, NOW - HOUR, has_next=True), "promote"),
    ],
)
def test_a_key_signs_only_after_it_was_known_for_the_lead_time(ages: KeyAges, step: str | None) -> None:
    """Nobody who caches keys for the lead time meets an unknown one (S11)."""
    assert domain.key_step(ages, NOW, 30 * DAY, HOUR) == step


@given(st.text(max_size=120))
def test_any_text_reads_as_a_refresh_token_or_not(text: str) -> None:
    """Presented text is never a failure."""
    read = RefreshToken.read("rt_" + text)
    assert read is None or read.text == "rt_" + text
