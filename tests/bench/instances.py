"""The messages of the bench: whole C-STOREs as storescu cuts them, real command sets included."""

import struct
from dataclasses import dataclass
from functools import cached_property

from proxy.pdu import encode_associate_rq, encode_p_data
from tests.support.pdus import CT_IMAGE_STORAGE, IMPLICIT_LE, VERIFICATION, encode_associate_ac

STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
_ECHO, _STORE, _GET = 1, 3, 5  # context ids
_COMMAND, _LAST = 1, 2  # bits of the message control header (PS3.8 annex E.2)
_NO_DATA_SET = 0x0101
_INSTANCE_UID = "1.2.826.0.1.3680043.10.1337.1.1"
_CALLING = "CT1"


def _command(field: int, sop_class: str, *more: tuple[int, bytes], data_set: bool = False) -> bytes:
    """A command set (PS3.7 section 6.3.1): group length, SOP class, field, `more`, data set type, in this order."""
    elements = [(0x0002, _uid(sop_class)), (0x0100, _us(field)), *more]
    elements.append((0x0800, _us(0x0001 if data_set else _NO_DATA_SET)))
    body = b"".join(struct.pack("<HHL", 0, tag, len(value)) + value for tag, value in sorted(elements))
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def _uid(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


def _us(value: int) -> bytes:
    return value.to_bytes(2, "little")


_ID = (0x0110, _us(1))
_ANSWERS = ((0x0120, _us(1)), (0x0900, _us(0)))

C_ECHO_RQ = encode_p_data(_ECHO, _COMMAND | _LAST, _command(0x0030, VERIFICATION, _ID))
C_ECHO_RSP = encode_p_data(_ECHO, _COMMAND | _LAST, _command(0x8030, VERIFICATION, *_ANSWERS))
C_STORE_RSP = encode_p_data(
    _STORE, _COMMAND | _LAST, _command(0x8001, CT_IMAGE_STORAGE, *_ANSWERS, (0x1000, _uid(_INSTANCE_UID)))
)
C_GET_RQ = encode_p_data(
    _GET, _COMMAND | _LAST, _command(0x0010, STUDY_ROOT_GET, _ID, (0x0700, _us(0)), data_set=True)
) + encode_p_data(_GET, _LAST, struct.pack("<HHL", 0x0008, 0x0052, 6) + b"STUDY ")


@dataclass(frozen=True)
class Instance:
    """A C-STORE-RQ with a data set of `size` bytes in PDUs of at most `pdu` bytes, header included."""

    size: int
    pdu: int

    @cached_property
    def pdus(self) -> list[bytes]:
        """The message, PDU by PDU: what the sender gives to one write."""
        command = _command(
            0x0001, CT_IMAGE_STORAGE, _ID, (0x0700, _us(0)), (0x1000, _uid(_INSTANCE_UID)), data_set=True
        )
        step = self.pdu - 12  # PDU header 6, PDV header 6
        pixels = struct.pack("<HHL", 0x7FE0, 0x0010, self.size - 8) + b"\x5a\xa5" * (self.size // 2 - 4)
        pieces = [pixels[start : start + step] for start in range(0, len(pixels), step)]
        data = [encode_p_data(_STORE, 0, piece) for piece in pieces[:-1]]
        return [
            encode_p_data(_STORE, _COMMAND | _LAST, command),
            *data,
            encode_p_data(_STORE, _LAST, pieces[-1]),
        ]

    @cached_property
    def wire_size(self) -> int:
        """Bytes of the message on the wire."""
        return sum(map(len, self.pdus))


KIB, MIB = 1024, 1024 * 1024
#: By called AE title: the title tells the fake PACS which messages to expect and which to send.
STORE = {
    "STORE": Instance(512 * KIB, 16 * KIB),
    "STORE128": Instance(512 * KIB, 128 * KIB),
    "STORE4K": Instance(4 * KIB, 16 * KIB),
}
GET = {"GET": Instance(512 * KIB, 16 * KIB)}
BOTH = {"BOTH": Instance(16 * MIB, 16 * KIB)}  # one instance each way at once
ECHO = "ECHO"
CALLED = [*STORE, *GET, *BOTH, ECHO]


def request(called: str) -> bytes:
    """The A-ASSOCIATE-RQ of every association of the bench."""
    contexts = [(number, uid, [IMPLICIT_LE]) for number, uid in _CONTEXTS]
    return encode_associate_rq(called, _CALLING, contexts, roles=[(CT_IMAGE_STORAGE, True, True)])


def accept(called: str) -> bytes:
    """The A-ASSOCIATE-AC to the request."""
    contexts = [(number, 0, IMPLICIT_LE) for number, _ in _CONTEXTS]
    return encode_associate_ac(called, _CALLING, contexts, roles=[(CT_IMAGE_STORAGE, True, True)])


_CONTEXTS = ((_ECHO, VERIFICATION), (_STORE, CT_IMAGE_STORAGE), (_GET, STUDY_ROOT_GET))
