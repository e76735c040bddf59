"""Requestors that hardly move, as a process of their own, so that they cost the test that measures nothing.

python -m tests.support.trickle PORT STALLED SLOW: opens so many handshakes that stop inside the ClientHello, and so
many TLS connections that send an A-ASSOCIATE-RQ at one byte a second; prints `ready`, and goes on until its input ends.
"""

import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.attempts import connected
from tests.support.client import client_context, connect, request
from tests.support.processes import PATIENCE, clean_environment
from tests.support.wire import Wire

_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(64)  # the beginning of a ClientHello of 512 bytes
_REPOSITORY = Path(__file__).parents[2]


@contextmanager
def trickling(port: int, stalled: int, slow: int) -> Iterator[None]:
    """Keep all clients connected while the body runs."""
    command = [sys.executable, "-m", "tests.support.trickle", *map(str, (port, stalled, slow))]
    environment = clean_environment({"PYTHONPATH": str(_REPOSITORY)})
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=_REPOSITORY
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield
            assert process.poll() is None
        finally:
            process.stdin.close()
        assert process.wait(PATIENCE) == 0, "one of them was closed by the gateway"


def main() -> None:
    """Be them; exit code 1 if the gateway closed one."""
    port, stalled, slow = map(int, sys.argv[1:])
    wires = [connect(port) for _ in range(stalled)]
    for number, wire in enumerate(wires):
        wire.send(_HELLO[: 1 + number % len(_HELLO)])
    context = client_context()
    senders = [connect(port, context) for _ in range(slow)]
    print("ready", flush=True)
    _trickle(senders, request())
    lost = not all(connected(wire.socket) for wire in (*wires, *senders))
    for wire in (*wires, *senders):
        wire.close()
    sys.exit(lost)


def _trickle(wires: list[Wire], data: bytes) -> None:
    """Send one byte a second on each connection, spread over the second, until the input of this process ends."""
    began = time.monotonic()
    for at in range(len(data) - 1):
        for number, wire in enumerate(wires):
            due = began + at + number / len(wires)
            if select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
                return
            wire.send(data[at : at + 1])


if __name__ == "__main__":
    main()
