import pytest

from libs.common.outbound import OutboundPolicy, OutboundRefused, choose, resolve, system_resolver

PUBLIC = "93.184.216.34"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.10", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",  # noqa: S104
        "169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    """Loopback, private, link-local, reserved and wrapped addresses are refused."""
    with pytest.raises(OutboundRefused):
        choose(OutboundPolicy(), "source.example", 5432, [address])


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"])
def test_public_addresses_are_chosen(address: str) -> None:
    """A public address is the one to connect to, under the name that was asked for."""
    chosen = choose(OutboundPolicy(), "source.example", 5432, [address])
    assert (chosen.host, chosen.address, chosen.port) == ("source.example", address, 5432)


def test_one_private_address_among_public_ones_refuses_all() -> None:
    """A name that leads to a public and to a private address is refused."""
    with pytest.raises(OutboundRefused):
        choose(OutboundPolicy(), "source.example", 5432, [PUBLIC, "10.0.0.1"])


def test_operator_allows_exactly_one_host_and_port() -> None:
    """An allowed `host:port` may be private; the same host with another port, or another name for it, may not."""
    policy = OutboundPolicy(allowed=frozenset({"db.internal:5432"}))
    assert choose(policy, "DB.internal.", 5432, ["10.0.0.1"]).address == "10.0.0.1"
    for host, port in (("db.internal", 5433), ("other.internal", 5432), ("10.0.0.1", 5432)):
        with pytest.raises(OutboundRefused):
            choose(policy, host, port, ["10.0.0.1"])


def test_own_ports_on_own_addresses_are_refused() -> None:
    """A public address of this installation is refused on its own ports only."""
    policy = OutboundPolicy(own_ports=frozenset({4222}), own_addresses=frozenset({PUBLIC}))
    with pytest.raises(OutboundRefused):
        choose(policy, "me.example", 4222, [PUBLIC])
    assert choose(policy, "me.example", 5432, [PUBLIC]).address == PUBLIC
    assert choose(policy, "you.example", 4222, ["93.184.216.35"]).port == 4222


def test_name_without_address_is_refused() -> None:
    """No address is no destination."""
    with pytest.raises(OutboundRefused):
        choose(OutboundPolicy(), "nowhere.example", 1, [])


def test_the_name_is_resolved_once() -> None:
    """A resolver whose second answer would be private is never asked twice (rebinding)."""
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    chosen = resolve(OutboundPolicy(), "rebind.example", 5432, lambda _host, _port: next(answers))
    assert chosen.address == PUBLIC
    assert next(answers) == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "localhost", "[::1]"])
def test_odd_notations_of_this_machine_are_refused(host: str) -> None:
    """Decimal, hexadecimal, octal and short notations are judged as the addresses that they are."""
    with pytest.raises((OutboundRefused, OSError)):
        resolve(OutboundPolicy(), host, 5432, system_resolver)


def test_refusal_names_no_address() -> None:
    """The refusal tells the host and the reason, not what the name resolved to."""
    with pytest.raises(OutboundRefused) as refused:
        choose(OutboundPolicy(), "source.example", 5432, ["10.1.2.3"])
    assert "source.example" in str(refused.value)
    assert "10.1.2.3" not in str(refused.value)
