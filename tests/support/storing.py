"""A C-STORE of a CT image as bytes on the wire, for senders whose connection is cut in the middle."""

import struct
from pathlib import Path

from proxy.pdu import encode_associate_rq, encode_p_data
from tests.support.client import COMMAND, LAST
from tests.support.dicomfiles import data_set_of
from tests.support.pdus import CT_IMAGE_STORAGE, EXPLICIT_LE

CONTEXT = 1
_FRAGMENT = 16_384 - 12
_ELEMENT = struct.Struct("<HHL")


def request(called: str = "MAINPACS", calling: str = "CT1") -> bytes:
    """An A-ASSOCIATE-RQ for CT images in the transfer syntax of the files that tests make."""
    return encode_associate_rq(called, calling, [(CONTEXT, CT_IMAGE_STORAGE, (EXPLICIT_LE,))])


def c_store(file: Path, message_id: int = 1) -> tuple[bytes, bytes]:
    """The P-DATA-TF PDUs of a C-STORE-RQ (PS3.7 Table 9.3-1): all but the last one, and the last one."""
    uid, data_set = data_set_of(file.read_bytes())
    elements = (
        (0x0002, _uid(CT_IMAGE_STORAGE)),
        (0x0100, struct.pack("<H", 0x0001)),
        (0x0110, struct.pack("<H", message_id)),
        (0x0700, struct.pack("<H", 0)),
        (0x0800, struct.pack("<H", 0x0000)),
        (0x1000, _uid(uid)),
    )
    body = b"".join(_ELEMENT.pack(0, element, len(value)) + value for element, value in elements)
    command = _ELEMENT.pack(0, 0, 4) + struct.pack("<L", len(body)) + body
    fragments = [data_set[start : start + _FRAGMENT] for start in range(0, len(data_set), _FRAGMENT)]
    pdus = [encode_p_data(CONTEXT, COMMAND | LAST, command)]
    pdus += [encode_p_data(CONTEXT, 0, fragment) for fragment in fragments[:-1]]
    return b"".join(pdus), encode_p_data(CONTEXT, LAST, fragments[-1])


def _uid(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)
