"""C-STORE and C-ECHO at both ends, as bytes: unique instances, a sender, and a PACS that keeps what it stored.

The data sets are random bytes: their SHA-256 shows any byte that was lost, doubled or altered on the way.
"""

import hashlib
import itertools
import os
import random
import struct
import threading
from dataclasses import dataclass, field

from proxy.pdu import PduType, encode_p_data
from tests.support.client import COMMAND, LAST
from tests.support.pacs import Visit
from tests.support.pdus import CT_IMAGE_STORAGE
from tests.support.wire import Wire

CONTEXT = 3  # of `client.CONTEXTS`
_FRAGMENT = 16 * 1024 - 12
_ELEMENT = struct.Struct("<HHL")
_C_STORE_RQ, _C_ECHO_RQ, _RESPONSE = 0x0001, 0x0030, 0x8000
_SOP_CLASS, _FIELD, _MESSAGE_ID, _RESPONDED_TO = 0x0002, 0x0100, 0x0110, 0x0120
_PRIORITY, _DATA_SET_TYPE, _STATUS, _SOP_INSTANCE = 0x0700, 0x0800, 0x0900, 0x1000
_NO_DATA_SET = 0x0101
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Instance:
    """A SOP instance: its UID, and a data set that is never decoded."""

    uid: str
    data: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def pdus(self, message_id: int = 1) -> list[bytes]:
        """The P-DATA-TF PDUs of its C-STORE-RQ (PS3.7 Table 9.3-1)."""
        command = _command(
            {
                _SOP_CLASS: CT_IMAGE_STORAGE,
                _FIELD: _C_STORE_RQ,
                _MESSAGE_ID: message_id,
                _PRIORITY: 0,
                _DATA_SET_TYPE: 0,
                _SOP_INSTANCE: self.uid,
            }
        )
        fragments = [self.data[start : start + _FRAGMENT] for start in range(0, len(self.data), _FRAGMENT)]
        pdus = [encode_p_data(CONTEXT, COMMAND | LAST, command)]
        pdus += [encode_p_data(CONTEXT, 0, fragment) for fragment in fragments[:-1]]
        return [*pdus, encode_p_data(CONTEXT, LAST, fragments[-1])]


def instance(size: int = 512 * 1024) -> Instance:
    """A new instance of this size."""
    number = next(_numbers)
    return Instance(f"1.2.826.0.1.3680043.10.1337.{os.getpid()}.9.{number}", random.Random(number).randbytes(size))


def store(wire: Wire, one: Instance, message_id: int = 1) -> None:
    """C-STORE, which must succeed. ConnectionError where no answer comes."""
    wire.send(b"".join(one.pdus(message_id)))
    expect_success(wire)


def expect_success(wire: Wire) -> None:
    """The next PDU is a DIMSE response of status Success. ConnectionError where none comes."""
    answer = wire.receive_pdu()
    if answer[:1] != bytes([PduType.P_DATA_TF]):
        raise ConnectionError(f"no answer to the C-STORE: {answer[:16].hex()}")
    status = int.from_bytes(_elements(answer[12:])[_STATUS], "little")
    assert status == 0, f"status {status:04X}H"


class Archive:
    """A handler for `Pacs`: `stored` holds the SHA-256 sums under which each SOP instance UID was stored."""

    def __init__(self) -> None:
        self.stored: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def __call__(self, visit: Visit) -> None:
        visit.accept()
        receiver = _Receiver(self, visit)
        visit.until_end(receiver.on_pdu, keep=False)

    def keep(self, uid: str, sha256: str) -> None:
        with self._lock:
            self.stored.setdefault(uid, set()).add(sha256)

    def check(self, told: "list[Instance]") -> None:
        """Check that each instance whose sender got status 0000H is here, unaltered."""
        missing = [one.uid for one in told if one.uid not in self.stored]
        assert not missing, f"{len(missing)} of {len(told)} instances are lost: {missing[:5]}"
        altered = [one.uid for one in told if self.stored[one.uid] != {one.sha256}]
        assert not altered, f"{len(altered)} of {len(told)} instances are altered: {altered[:5]}"


class _Receiver:
    """The messages of one association; every PDU of these tests holds one PDV."""

    def __init__(self, archive: Archive, visit: Visit) -> None:
        self._archive = archive
        self._visit = visit
        self._command: dict[int, bytes] = {}
        self._digest = hashlib.sha256()

    def on_pdu(self, pdu: bytes) -> None:
        context, control = pdu[10], pdu[11]
        if control & COMMAND:
            self._command = _elements(pdu[12:])
            self._digest = hashlib.sha256()
            if int.from_bytes(self._command[_FIELD], "little") == _C_ECHO_RQ:
                self._answer(context)
            return
        self._digest.update(memoryview(pdu)[12:])
        if control & LAST:
            self._archive.keep(self._command[_SOP_INSTANCE].decode().rstrip("\0"), self._digest.hexdigest())
            self._answer(context)

    def _answer(self, context: int) -> None:
        asked = self._command
        values: dict[int, int | str] = {
            _SOP_CLASS: asked[_SOP_CLASS].decode(),
            _FIELD: int.from_bytes(asked[_FIELD], "little") | _RESPONSE,
            _RESPONDED_TO: int.from_bytes(asked[_MESSAGE_ID], "little"),
            _DATA_SET_TYPE: _NO_DATA_SET,
            _STATUS: 0,
        }
        if _SOP_INSTANCE in asked:
            values[_SOP_INSTANCE] = asked[_SOP_INSTANCE].decode()
        self._visit.wire.send(encode_p_data(context, COMMAND | LAST, _command(values)))


def _command(values: dict[int, int | str]) -> bytes:
    """A command set (PS3.7 section 6.3.1): numbers have two bytes, UIDs are padded with NUL."""
    body = b""
    for element, value in values.items():
        data = value.to_bytes(2, "little") if isinstance(value, int) else value.encode() + b"\0" * (len(value) % 2)
        body += _ELEMENT.pack(0, element, len(data)) + data
    return _ELEMENT.pack(0, 0, 4) + len(body).to_bytes(4, "little") + body


def _elements(command: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(command):
        _, element, length = _ELEMENT.unpack_from(command, at)
        at += _ELEMENT.size
        found[element] = command[at : at + length]
        at += length
    return found
