"""Which destinations are listeners of this gateway."""

import ipaddress
import socket

import pytest

from proxy.config.values import Listener
from proxy.policy import Address, ListenerPolicy
from proxy.upstream import own_listeners as module
from proxy.upstream.dialling import Destination
from proxy.upstream.own_listeners import OwnListeners, is_local, is_local_cached

POLICY = ListenerPolicy("plain", ())
HERE = {ipaddress.ip_address(text) for text in ("10.0.0.1", "2001:db8:1::1", "127.0.0.1", "::1", "127.0.0.5")}


def at(host: str, port: int = 104, scope: int = 0) -> Destination:
    if ":" in host:
        return Destination(socket.AF_INET6, (host, port, 0, scope))
    return Destination(socket.AF_INET, (host, port))


def reached(destination: Destination, *bind: str) -> bool:
    own = OwnListeners(
        [Listener("tls", (("10.0.0.1", 2762),), POLICY), Listener("plain", tuple((b, 104) for b in bind), POLICY)]
    )
    found = own.find_self_connection(
        destination, lambda address, scope: address in HERE or (address.is_link_local and scope == 2)
    )
    assert found in (None, "plain")
    return found is not None


@pytest.mark.parametrize(
    ("host", "bind"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "0.0.0.0"),
        ("127.0.0.5", "0.0.0.0"),
        ("0.0.0.0", "0.0.0.0"),
        ("0.0.0.0", "127.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "0.0.0.0"),
        ("::", "::"),
        ("::", "::1"),
        ("2001:db8:1::1", "::"),
        ("2001:db8:1::1", "2001:db8:1:0::1"),
    ],
)
def test_a_listener_of_ours(host: str, bind: str) -> None:
    assert reached(at(host), bind)
    assert reached(at(host), "10.9.9.9", bind)


@pytest.mark.parametrize(
    ("host", "bind"),
    [
        ("10.0.0.2", "10.0.0.1"),
        ("10.0.0.2", "0.0.0.0"),  # of another machine
        ("10.0.0.1", "127.0.0.1"),
        ("127.0.0.5", "127.0.0.1"),  # somebody else may listen there
        ("10.0.0.1", "::"),
        ("::1", "0.0.0.0"),
        ("0.0.0.0", "10.0.0.1"),
    ],
)
def test_none_of_ours(host: str, bind: str) -> None:
    assert not reached(at(host), bind)


def test_another_port_asks_for_no_address() -> None:
    def never(address: Address, scope: int) -> bool:
        raise AssertionError(f"asked for {address}")

    own = OwnListeners([Listener("plain", (("0.0.0.0", 104),), POLICY)])
    assert own.find_self_connection(at("10.0.0.1", 11112), never) is None
    with pytest.raises(AssertionError):
        own.find_self_connection(at("10.0.0.1"), never)


def test_a_link_local_address_is_ours_on_our_interface() -> None:
    """Its neighbour's may be the same on the other side."""
    for bind in ("fe80::1", "::"):
        assert reached(at("fe80::1", scope=2), bind)
        assert not reached(at("fe80::1", scope=3), bind)


@pytest.mark.parametrize(
    ("text", "local"),
    [("127.0.0.1", True), ("127.200.3.4", True), ("::1", True), ("192.0.2.7", False), ("2001:db8::7", False)],
)
def test_is_local(text: str, local: bool) -> None:
    assert is_local(ipaddress.ip_address(text)) is local


def test_is_local_where_anything_can_be_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """`net.ipv4.ip_nonlocal_bind`, as machines have it that share an address: only its holder is there."""
    ours, other = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2")
    monkeypatch.setattr(module, "_can_be_bound", lambda address, scope=0: True)
    monkeypatch.setattr(module, "_source_towards", lambda address, scope: ours)
    assert is_local(ours)
    assert not is_local(other)


def test_the_source_towards_an_address_of_this_machine_is_itself() -> None:
    for text in ("127.0.0.1", "::1"):
        assert module._source_towards(ipaddress.ip_address(text), 0) == ipaddress.ip_address(text)


def test_an_address_is_looked_at_again_when_it_may_have_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    address, looks = ipaddress.ip_address("10.0.0.77"), []
    monkeypatch.setattr(module, "is_local", lambda *asked: looks.append(asked) or len(looks) == 1)
    assert [is_local_cached(address, 0, now) for now in (100.0, 101.9, 102.0, 103.9)] == [True, True, False, False]
    assert len(looks) == 2
