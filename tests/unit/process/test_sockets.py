"""Listening sockets of a configuration, kept over reloads."""

import socket

import pytest

from proxy.config.values import Config, Listener
from proxy.policy import ListenerPolicy
from proxy.process.sockets import BindError, ListeningSockets
from tests.support import defaults
from tests.support.ports import free_port


def config(*listeners: tuple[str, tuple[tuple[str, int], ...]]) -> Config:
    made = tuple(Listener(name, binds, ListenerPolicy(name, (), tls=False)) for name, binds in listeners)
    return defaults.config(made)


def test_ipv4_and_ipv6_are_bound_side_by_side() -> None:
    port = free_port()
    listening = ListeningSockets()
    sockets = listening.open(config(("plain", (("0.0.0.0", port), ("::", port)))))
    assert [sock.family for sock in sockets["plain"]] == [socket.AF_INET, socket.AF_INET6]
    listening.close()
    assert all(sock.fileno() == -1 for sock in sockets["plain"])


def test_a_port_in_use_is_named_and_leaves_nothing_open() -> None:
    first, second = free_port(), free_port()
    listening = ListeningSockets()
    with socket.create_server(("127.0.0.1", second)):
        text = rf"listener b: cannot listen on 127\.0\.0\.1:{second}: Address already in use \(`ss -ltnp "
        with pytest.raises(BindError, match=text):
            listening.open(config(("a", (("127.0.0.1", first),)), ("b", (("127.0.0.1", second),))))
        with socket.create_server(("127.0.0.1", first)):
            pass


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(BindError, match=r"203\.0\.113\.7.*\(no interface of this machine has that address"):
        ListeningSockets().open(config(("a", (("203.0.113.7", free_port()),))))


def test_a_reload_keeps_the_sockets_in_use_and_closes_the_others() -> None:
    first, second, third = free_port(), free_port(), free_port()
    before = config(("a", (("127.0.0.1", first), ("127.0.0.1", second))))
    after = config(("a", (("127.0.0.1", second), ("127.0.0.1", third))))
    listening = ListeningSockets()
    old = listening.open(before)["a"]
    new = listening.open(after)["a"]
    assert new[0] is old[1]
    listening.keep_only(after)
    assert old[0].fileno() == -1
    assert old[1].fileno() != -1
    listening.close()


def test_inherited_sockets_are_matched_by_address_and_stay_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours, socket.create_server(("127.0.0.1", 0)) as spare:
        port = ours.getsockname()[1]
        listening = ListeningSockets([ours, spare])
        assert listening.inherited
        assert listening.open(config(("a", (("127.0.0.1", port),))))["a"] == [ours]
        assert listening.unused() == [f"127.0.0.1:{spare.getsockname()[1]}"]
        listening.keep_only(config())
        assert ours.fileno() != -1
