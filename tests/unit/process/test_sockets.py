"""Listening sockets of a configuration."""

import socket

import pytest

from proxy.config.values import Config, Listener
from proxy.policy import Listener as ListenerPolicy
from proxy.process.sockets import BindError, bind, close
from tests.support.ports import free_port


def config(*listeners: tuple[str, tuple[tuple[str, int], ...]]) -> Config:
    made = tuple(Listener(name, binds, ListenerPolicy(name, (), tls=False)) for name, binds in listeners)
    return Config("config.yaml", made, {}, {})


def test_ipv4_and_ipv6_are_bound_side_by_side() -> None:
    port = free_port()
    sockets = bind(config(("plain", (("0.0.0.0", port), ("::", port)))))
    assert [sock.family for sock in sockets["plain"]] == [socket.AF_INET, socket.AF_INET6]
    close(sockets)
    assert all(sock.fileno() == -1 for sock in sockets["plain"])


def test_a_port_in_use_is_named_and_leaves_nothing_open() -> None:
    first, second = free_port(), free_port()
    with socket.create_server(("127.0.0.1", second)):
        with pytest.raises(
            BindError, match=rf"listener b: cannot listen on 127\.0\.0\.1:{second}: Address already in use \(`ss -ltnp "
        ):
            bind(config(("a", (("127.0.0.1", first),)), ("b", (("127.0.0.1", second),))))
        with socket.create_server(("127.0.0.1", first)):
            pass


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(BindError, match=r"203\.0\.113\.7.*\(no interface of this machine has that address"):
        bind(config(("a", (("203.0.113.7", free_port()),))))
