"""Socket options, read back from the kernel."""

import socket

import pytest

from proxy.net.tcp import tune


@pytest.mark.parametrize(
    ("seconds", "milliseconds"), [(0.5, 500), (600.0, 600_000), (30 * 86_400.0, 2**31 - 1), (1e12, 2**31 - 1)]
)
def test_any_timeout_for_acknowledgements_can_be_set(seconds: float, milliseconds: int) -> None:
    """A timeout beyond the kernel's int (25 days) once made every accept fail."""
    with socket.socket() as sock:
        tune(sock, seconds)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == milliseconds
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
