import ipaddress

import pytest

from proxy.policy.addresses import contains, format_endpoint, normalize


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("0:0:0:0:0:ffff:0a00:0001", "10.0.0.1"),
        ("0000:0000:0000:0000:0000:FFFF:10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1%eth0", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::10.0.0.1", "::a00:1"),  # IPv4-compatible, not mapped: an IPv6 address
    ],
)
def test_an_address_has_one_form(text: str, expected: str) -> None:
    assert str(normalize(text)) == expected
    if "%" in text:
        assert normalize(ipaddress.ip_address(text)) == normalize(text)


@pytest.mark.parametrize("text", ["", "10.0.0.1%eth0", "010.0.0.1", "10.0.0.1/32", "fe80::1%", "fe80::1%%a", "a", "%"])
def test_what_is_no_address_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        normalize(text)


@pytest.mark.parametrize(
    ("networks", "address", "held"),
    [
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["10.0.0.0/8"], "::ffff:11.1.2.3", False),
        (["::ffff:10.0.0.0/104"], "10.1.2.3", True),
        (["::ffff:10.0.0.0/104"], "::ffff:10.1.2.3", True),
        (["::ffff:10.0.0.0/104"], "11.1.2.3", False),
        (["::/0"], "10.1.2.3", False),
        (["::/0"], "2001:db8::1", True),
        (["::fffe:0:0/95"], "10.1.2.3", False),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["fe80::/64"], "fe80::1%eth0", True),
        (["192.0.2.0/24", "2001:db8::/32", "10.0.0.1/32"], "10.0.0.1", True),
        ([], "10.0.0.1", False),
    ],
)
def test_networks_hold_addresses_whatever_their_form(networks: list[str], address: str, held: bool) -> None:
    parsed = tuple(ipaddress.ip_network(network) for network in networks)
    assert contains(parsed, normalize(address)) is held
    assert contains(parsed, ipaddress.ip_address(address)) is held


def test_no_networks_means_any() -> None:
    assert contains(None, normalize("203.0.113.9"))


def test_an_ipv6_address_is_bracketed_before_its_port() -> None:
    assert format_endpoint("pacs.example.org", 104) == "pacs.example.org:104"
    assert format_endpoint("10.0.0.1", 104) == "10.0.0.1:104"
    assert format_endpoint("2001:db8::1", 104) == "[2001:db8::1]:104"
