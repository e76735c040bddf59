"""Collects one PDU out of a byte stream: the A-ASSOCIATE-RQ of a requestor, or the answer of the upstream.

A violation is raised at the first byte that shows it. A declared length reserves no memory.
"""

from proxy.pdu.errors import InvalidPduParameter, PduTooLarge, UnexpectedPdu, UnrecognizedPdu
from proxy.pdu.model import PduType

_HEADER = 6  # type, reserved, 32-bit length (PS3.8 section 9.3.1)
_SMALLEST_ASSOCIATE = 68  # the fixed fields of A-ASSOCIATE-RQ and -AC (PS3.8 Tables 9-11 and 9-17)
_SHORT_PDU = 4  # the length of -RJ, A-RELEASE-RQ, -RP and A-ABORT (PS3.8 Tables 9-21 and 9-24 to 9-26)

_PDU_TYPES = frozenset(PduType)
_ASSOCIATE = frozenset({PduType.A_ASSOCIATE_RQ, PduType.A_ASSOCIATE_AC})
_SHORT = frozenset({PduType.A_ASSOCIATE_RJ, PduType.A_RELEASE_RQ, PduType.A_RELEASE_RP, PduType.A_ABORT})


class PduFramer:
    """Takes any slices and returns the first PDU when it is complete. `received` counts all bytes fed.

    After a PduError it must not be fed again. Memory grows with the bytes received, up to `max_length` and one slice.
    """

    __slots__ = ("_buffer", "_complete", "_expected", "_max_length", "_total", "received")

    def __init__(self, max_length: int, expected: frozenset[PduType]) -> None:
        """`max_length` bounds the PDU length field, which counts what follows the 6-byte header."""
        self._max_length = max_length
        self._expected = expected
        self._buffer = bytearray()  # the first PDU while it is incomplete, then the bytes after it
        self._total: int | None = None
        self._complete = False
        self.received = 0

    def feed(self, data: bytes | bytearray | memoryview) -> bytes | None:
        """Return the first PDU once, when its last byte is there. Raises PduError for a header that is not allowed."""
        self._buffer += data
        self.received += len(data)
        if self._complete or not self._buffer:
            return None
        if self._total is None:
            self._check_type(self._buffer[0])
            if len(self._buffer) < _HEADER:
                return None
            length = int.from_bytes(self._buffer[2:_HEADER], "big")
            self._check_length(self._buffer[0], length)
            self._total = _HEADER + length
        if len(self._buffer) < self._total:
            return None
        pdu = bytes(memoryview(self._buffer)[: self._total])
        del self._buffer[: self._total]
        self._complete = True
        return pdu

    @property
    def trailing(self) -> bytes:
        """The bytes after the first PDU."""
        return bytes(self._buffer) if self._complete else b""

    @property
    def boundary(self) -> bool:
        """True if the last PDU has ended or none has begun."""
        return not self._buffer

    def _check_type(self, pdu_type: int) -> None:
        if pdu_type not in _PDU_TYPES:
            raise UnrecognizedPdu(f"PDU type {pdu_type:02X}H")
        if pdu_type not in self._expected:
            raise UnexpectedPdu(f"PDU type {pdu_type:02X}H")

    def _check_length(self, pdu_type: int, length: int) -> None:
        if length > self._max_length:
            raise PduTooLarge(f"PDU length {length}, at most {self._max_length} is allowed")
        if pdu_type in _ASSOCIATE and length < _SMALLEST_ASSOCIATE:
            raise InvalidPduParameter(f"PDU length {length}, at least {_SMALLEST_ASSOCIATE} is needed")
        if pdu_type in _SHORT and length != _SHORT_PDU:
            raise InvalidPduParameter(f"PDU length {length}, type {pdu_type:02X}H has length {_SHORT_PDU}")
