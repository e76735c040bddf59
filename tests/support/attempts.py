"""Associations that may fail: what a sender does that tries again."""

import select
import socket
import ssl
import time

from tests.support.client import associate, connect, echo, release
from tests.support.processes import PATIENCE, until
from tests.support.wire import Wire

#: How a connection ends under a sender: between PDUs, inside one, or before there was an association.
CUT = (OSError, AssertionError)


def attempt(port: int, context: ssl.SSLContext, calling: str = "CT1", *, timeout: float = PATIENCE) -> Wire:
    """An association, or one of CUT; then nothing stays open."""
    wire = connect(port, context, timeout=timeout)
    try:
        return associate(wire, calling=calling)
    except CUT:
        wire.close()
        raise


def echo_once(port: int, context: ssl.SSLContext, calling: str = "PROBE") -> float:
    """C-ECHO on an association of its own; the seconds from the connection to the answer of the release."""
    began = time.monotonic()
    with attempt(port, context, calling) as wire:
        echo(wire)
        release(wire)
    return time.monotonic() - began


def seconds_to_be_served(port: int, context: ssl.SSLContext) -> float:
    """Ask until a C-ECHO on an association of its own is answered."""
    began = time.monotonic()

    def served() -> bool:
        try:
            echo_once(port, context)
        except CUT:
            return False
        return True

    until(served, "an association is served")
    return time.monotonic() - began


def connected(sock: socket.socket) -> bool:
    """Return whether the other end is still there; the kernel knows it before the thread has read the end."""
    events = select.poll()
    events.register(sock, select.POLLRDHUP)  # poll reports a reset without being asked for it
    return not events.poll(0)
