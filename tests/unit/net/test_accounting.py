"""The metrics of an association when counting fails."""

from collections import Counter
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.net.accounting import Account


class Metrics:
    """Sums; the counting numbered `fails_at` finds no memory."""

    def __init__(self) -> None:
        self.sums: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.fails_at = 0
        self._number = 0

    def add(self, name: str, labels: tuple[str, ...], amount: float = 1) -> None:
        self._number += 1
        if self._number == self.fails_at:
            raise MemoryError
        self.sums[name, labels] += amount


@pytest.mark.parametrize("fails_at", [2, 3, 4])
def test_a_connection_is_given_back_once_wherever_memory_ends(fails_at: int) -> None:
    metrics: Any = Metrics()
    station: Any = SimpleNamespace(metrics=metrics)
    listener: Any = SimpleNamespace(name="dicom-tls")
    account = Account(station, listener, ip_address("192.0.2.1"), 4711)
    metrics.fails_at = fails_at
    failed = 0
    for phase in ("tls_handshake", "closing", None):
        try:
            account.phase(phase)
        except MemoryError:
            failed += 1
    assert failed == 1
    active = {labels: total for (name, labels), total in metrics.sums.items() if name == "connections_active"}
    assert not any(active.values()), active
