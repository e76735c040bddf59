"""Many associations of two tenants, each with a byte pattern of its own, through stalls, resets and refusals.

All of them share two buffers in the gateway. No byte of one may ever arrive at another, nor at the wrong PACS.
"""

import random
import threading
from collections.abc import Callable

from proxy.pdu import PduType, parse_associate_rq
from tests.support import certs
from tests.support.client import COMMAND_END, associate, client_context, connect, p_data, request
from tests.support.gateway import Gateway, configuration
from tests.support.pacs import Pacs, Visit
from tests.support.ports import free_port
from tests.support.site import Site
from tests.support.wire import END, Wire

NAMES = ("a.example.org", "b.example.org")
ASSOCIATIONS = 120
AT_ONCE = 12
PDUS = 60


def pattern(name: str, sequence: int, size: int) -> bytes:
    """A P-DATA-TF that is made of its sender's name and its number."""
    stamp = f"<{name}:{sequence}>".encode()
    return p_data((stamp * (size // len(stamp) + 1))[:size])


def answer_to(pdu: bytes) -> bytes:
    """The bytes as the PACS returns them: the same, marked as its own."""
    return pdu[: COMMAND_END + 6] + pdu[COMMAND_END + 6 :].swapcase()


class Tenant:
    """A PACS that looks at every byte: each visit's P-DATA must be the pattern of its calling title, in order."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.wrong: list[str] = []
        self.pdus = 0

    def __call__(self, visit: Visit) -> None:
        visit.request = visit.wire.receive_pdu()
        calling = parse_associate_rq(visit.request).calling.title
        if not calling.startswith(self.prefix):
            self.wrong.append(f"{calling} at the PACS of {self.prefix}")
        visit.accept()
        sequence = 0

        def check(pdu: bytes) -> None:
            nonlocal sequence
            if pdu != pattern(calling, sequence, len(pdu) - COMMAND_END - 6):
                self.wrong.append(f"{calling}: {pdu[:80]!r}")
            sequence += 1
            self.pdus += 1
            if sequence % 7 == 0:
                threading.Event().wait(0.002)  # a stall: the sender's window closes
            visit.wire.send(answer_to(pdu))

        visit.until_end(check, keep=False)


class Sender(threading.Thread):
    """A thread that makes associations one by one: whole, reset in the middle, or refused."""

    def __init__(self, number: int, port: int) -> None:
        super().__init__(daemon=True)
        self.random = random.Random(number)
        self.port = port
        self.number = number
        self.wrong: list[str] = []
        self.whole = 0

    def run(self) -> None:
        try:
            for turn in range(ASSOCIATIONS // AT_ONCE):
                self.one(turn)
        except Exception as error:
            self.wrong.append(f"{type(error).__name__}: {error}")

    def one(self, turn: int) -> None:
        tenant = self.random.randrange(2)
        calling = f"{'AB'[tenant]}{self.number}T{turn}"
        wire = connect(self.port, client_context(), NAMES[tenant], receive_buffer=32_768)
        with wire:
            if turn % 5 == 4:
                wire.send(request("NOWHERE", calling))
                assert wire.receive_pdu()[0] == PduType.A_ASSOCIATE_RJ
                assert wire.receive_pdu() == END
                return
            associate(wire, f"CLINIC{'AB'[tenant]}", calling)
            pdus = [pattern(calling, n, self.random.choice((1, 30, 3000, 70_000))) for n in range(PDUS)]
            if turn % 5 == 2:
                wire.send(b"".join(pdus[: PDUS // 2])[:-1])
                self.read(wire, pdus[:3])
                wire.reset()
                return
            pieces = pdus if turn % 2 else [b"".join(pdus)]  # short reads at the gateway, and long ones
            sending = threading.Thread(target=lambda: [wire.send(piece) for piece in pieces], daemon=True)
            sending.start()
            self.read(wire, pdus)
            sending.join()
            self.whole += 1

    def read(self, wire: Wire, pdus: list[bytes]) -> None:
        for pdu in pdus:
            if self.random.random() < 0.05:
                threading.Event().wait(0.005)
            got = wire.receive_pdu()
            if got != answer_to(pdu):
                self.wrong.append(f"expected {answer_to(pdu)[:60]!r}, got {got[:60]!r}")


def test_no_byte_of_one_arrives_at_another(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    for name in NAMES:
        site.pair(name, certs.server(name, site.root))
    port = free_port()
    checkers = [Tenant("A"), Tenant("B")]
    with Pacs(checkers[0], receive_buffer=32_768) as a, Pacs(checkers[1], receive_buffer=32_768) as b:
        tenants = {
            letter: {
                "server_names": [name],
                "called_aets": [f"CLINIC{letter.upper()}"],
                "upstream": letter,
                "tls": {"certificates": [site.certificate(name)]},
                "peers": [{"aet": f"{letter.upper()}*", "allow": ["all"]}],
            }
            for letter, name in zip("ab", NAMES, strict=True)
        }
        config = configuration({"tls": site.listener(port)}, tenants, {"a": a.port, "b": b.port})
        gateway = start_gateway(config)
        senders = [Sender(number, port) for number in range(AT_ONCE)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(60)
            assert not sender.is_alive()
    assert [wrong for sender in senders for wrong in sender.wrong] == []
    assert [wrong for checker in checkers for wrong in checker.wrong] == []
    assert sum(sender.whole for sender in senders) == ASSOCIATIONS * 3 // 5
    assert all(checker.pdus > 0 for checker in checkers)
    gateway.check_healthy()
