"""The properties that must hold for any bytes that a requestor sends on an established association.

pydicom reads the forwarded requests again: each must be allowed as the upstream reads it, not only as the walk did.
"""

import io
import warnings
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from pydicom import Dataset
from pynetdicom.dsutils import decode

from proxy.config.dictionary import sop_classes
from proxy.dimse.command import C_CANCEL, C_ECHO, C_FIND, C_MOVE, C_STORE, NO_DATA_SET, DimseError, decode_command
from proxy.dimse.services import Operation, expand
from proxy.dimse.walk import LONGEST_HELD_BACK, MessageWalk
from proxy.net.operations import inspection_of
from proxy.pdu import AAssociateAC, PresentationContextResult, Span, UserInformation, encode_p_data
from proxy.pdu.errors import PduError
from proxy.policy import Accept, Peer, Tenant
from proxy.policy.decision import decide
from tests.support.messages import COMMAND, LAST
from tests.support.requests import IMPLICIT_VR_LITTLE_ENDIAN, facts, proposing

CT, VERIFICATION = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.1"
MOVE, WORKLIST = "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.31"
DESTINATION = "*_WS"
#: Context id -> the requests of its service, and the operation of the SOP classes that these may name.
ALLOWED = {
    1: ({C_STORE}, Operation.STORE_STANDARD),
    3: ({C_ECHO}, Operation.ECHO),
    5: ({C_MOVE, C_CANCEL}, Operation.MOVE),
    7: ({C_FIND, C_CANCEL}, Operation.WORKLIST),
}
ANSWER = encode_p_data(3, COMMAND | LAST, b"an answer of ours")

_REQUEST = proposing(CT, VERIFICATION, MOVE, WORKLIST)
_PEER = Peer("ct1", ("CT1",), expand(["echo", "store_standard", "move", "worklist"]), move_destinations=(DESTINATION,))
_TENANT = Tenant("hospital", "pacs", (_PEER,), called_aets=frozenset({"MAINPACS"}), sop_class_table=sop_classes())
_ANSWER = AAssociateAC(
    1,
    tuple(PresentationContextResult(context_id, 0, IMPLICIT_VR_LITTLE_ENDIAN, Span(0, 0)) for context_id in ALLOWED),
    UserInformation(Span(0, 0)),
)
_DECISION = decide(facts(request=_REQUEST), _TENANT)
assert isinstance(_DECISION, Accept)
_ACCEPT: Accept = _DECISION


class Stream:
    """The requestor's direction of one association, fed as the relay feeds it."""

    def __init__(self) -> None:
        inspection = inspection_of(_ACCEPT, _REQUEST, _ANSWER, ALLOWED, lambda refused: None)
        self.walk = MessageWalk(frozenset(ALLOWED), inspection, from_requestor=True)
        self.walk.opposite = MessageWalk(frozenset(ALLOWED), inspection, from_requestor=False)
        self.went = b""
        self.violation: PduError | None = None
        self._held = b""

    def feed(self, chunk: bytes, *, answers: int = 0) -> None:
        """Feed one chunk; so many `answers` wait for a place between two messages."""
        data = memoryview(self._held + chunk)
        while True:
            self.walk.stop_between = answers > 0
            output, used, self.violation = self.walk.feed(data)
            self.went += output
            data = data[used:]
            if not answers or not self.walk.between or self.violation is not None:
                break
            if not (self.walk.release_requested or self.walk.aborted):
                self.went += ANSWER
            answers -= 1
        self._held = bytes(data)
        if self.violation is None:
            assert len(self._held) <= LONGEST_HELD_BACK

    def told(self) -> tuple[object, ...]:
        """All observable results of the walk."""
        walk = self.walk
        flags = (walk.boundary, walk.between, walk.release_requested, walk.release_answered, walk.aborted)
        return self.went, type(self.violation), walk.refused, walk.pdus, walk.pdu_left, flags


def check_stream(wire: bytes, cuts: Iterable[int]) -> None:
    """`wire` in one piece, cut at `cuts`, and with answers of ours at every cut."""
    whole, sliced, answered = Stream(), Stream(), Stream()
    whole.feed(wire)
    for chunk in cut(wire, cuts):
        if sliced.violation is None:
            sliced.feed(chunk)
        if answered.violation is None:
            answered.feed(chunk, answers=1)
    assert sliced.told() == whole.told()
    assert answered.went.replace(ANSWER, b"") == whole.went
    assert whole.walk.pdu_left == _missing(whole.went)
    assert answered.walk.pdu_left == _missing(answered.went)
    for context_id, encoded in commands_in(whole.went):
        check_allowed(context_id, encoded)
    check_answers_stand_between(answered.went)


def check_command(encoded: bytes) -> None:
    """Any bytes are a command set that pydicom reads alike, or a DimseError."""
    try:
        command = decode_command(encoded)
    except DimseError:
        return
    read = as_pydicom_reads(encoded)
    assert read is None or (
        read.CommandField == command.field and (read.CommandDataSetType != NO_DATA_SET) == command.has_data_set
    )


def check_allowed(context_id: int, encoded: bytes) -> None:
    """A command set that went to the upstream."""
    read = as_pydicom_reads(encoded)
    if read is None:
        return  # pydicom does not take every kind of element
    field = read.CommandField
    assert field in ALLOWED[context_id][0]
    operations = {operation for fields, operation in ALLOWED.values() if field in fields}
    for keyword in ("AffectedSOPClassUID", "RequestedSOPClassUID"):
        uid = to_first_nul(read.get(keyword))
        if uid:
            assert uid in sop_classes(), uid
            assert sop_classes()[uid].operation in operations, uid
    if field == C_MOVE:
        title = read.MoveDestination
        assert isinstance(title, str), title  # not several values
        assert fnmatchcase(to_first_nul(title), DESTINATION), title


def as_pydicom_reads(encoded: bytes) -> Dataset | None:
    """The command set; None where a value is none of its VR."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = decode(io.BytesIO(encoded), True, True)
            return None if len(list(read)) == 0 else read
    except Exception:
        return None


def to_first_nul(value: object) -> str:
    """As C reads a string."""
    return "" if value is None else str(value).partition("\0")[0].strip(" ")


def cut(wire: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    """The pieces of `wire` between the `cuts` that fall into it."""
    begun = 0
    for end in [*sorted(place for place in cuts if 0 < place < len(wire)), len(wire)]:
        yield wire[begun:end]
        begun = end


def commands_in(wire: bytes) -> list[tuple[int, bytes]]:
    """Context and bytes of each whole command set, read PDV by PDV."""
    found, collected = [], b""
    for _, context_id, control, fragment, whole in pdvs_in(wire):
        if control & COMMAND and whole:
            collected += fragment
            if control & LAST:
                found.append((context_id, collected))
                collected = b""
    return found


def check_answers_stand_between(wire: bytes) -> None:
    """No answer of ours is inside a message of theirs."""
    begun = b""  # of a message: its command set so far
    for begins, _, control, fragment, whole in pdvs_in(wire):
        if wire.startswith(ANSWER, begins):
            assert not begun
            continue
        if control & COMMAND:
            begun += fragment
        if control & LAST and whole and not (control & COMMAND and decode_command(begun).has_data_set):
            begun = b""


def pdvs_in(wire: bytes) -> Iterator[tuple[int, int, int, bytes, bool]]:
    """Of each PDV: where its PDU begins, context, control header, fragment, and whether that is all here."""
    position = 0
    while position < len(wire):
        begins, end = position, position + 6 + int.from_bytes(wire[position + 2 : position + 6], "big")
        position += 6
        while wire[begins] == 4 and position < min(end, len(wire)):
            length = int.from_bytes(wire[position : position + 4], "big")
            fragment = wire[position + 6 : position + 4 + length]
            yield begins, wire[position + 4], wire[position + 5], fragment, len(fragment) == length - 2
            position += 4 + length
        position = end


def _missing(wire: bytes) -> int:
    """Bytes to the end of the last PDU."""
    position = 0
    while position < len(wire):
        position += 6 + int.from_bytes(wire[position + 2 : position + 6], "big")
    return position - len(wire)
