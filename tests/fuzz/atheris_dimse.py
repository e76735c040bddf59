"""The properties of tests/fuzz/test_dimse_fuzz.py, guided by coverage: `make fuzz` runs it for a minute.

    python -m tests.fuzz.atheris_dimse [FOLDER OF INPUTS] -max_total_time=3600

The first byte chooses where the stream is cut; the rest is the stream.
"""

import sys

import atheris

with atheris.instrument_imports(include=["proxy.dimse", "proxy.pdu"]):
    from tests.fuzz.dimse_properties import check_command, check_stream

from proxy.dimse.command import C_ECHO, C_FIND, C_MOVE, C_STORE
from proxy.pdu import encode_abort, encode_release_rq
from tests.fuzz.dimse_properties import CT, MOVE, VERIFICATION, WORKLIST
from tests.support.messages import command, fragments, message, one_pdu

SEEDS = (
    message(command(C_STORE, data_set=True, sop_class=CT), b"d" * 40, step=30) + encode_release_rq(),
    message(command(C_ECHO, sop_class=VERIFICATION), context_id=3) + encode_abort(0, 0),
    message(command(C_MOVE, data_set=True, sop_class=MOVE, destination="ROOM1_WS"), b"q", context_id=5),
    message(command(C_MOVE, sop_class=MOVE, destination="EVIL"), context_id=5) * 2,
    message(command(C_FIND, data_set=True, sop_class=WORKLIST), b"q", context_id=7),
    one_pdu(
        *((5, *piece) for piece in fragments(command(C_MOVE, sop_class=MOVE, destination="EVIL"), None, 50)),
        *((1, *piece) for piece in fragments(command(C_STORE, data_set=True, sop_class=CT), b"data", 50)),
    ),
)


def check(data: bytes) -> None:
    """Run the properties on one input."""
    step, wire = data[:1], data[1:]
    check_stream(wire, range(0, len(wire), step[0] + 1 if step else 1))
    check_command(wire[12:])


def mutate(data: bytes, longest: int, seed: int) -> bytes:
    """Begin again at a sound stream now and then: none comes of nothing, as its lengths must hold."""
    if seed % 16 == 0:
        data = bytes([seed >> 8 & 0xFF]) + SEEDS[(seed >> 4) % len(SEEDS)]
    return atheris.Mutate(data[:longest], longest)


if __name__ == "__main__":
    atheris.Setup(sys.argv, check, custom_mutator=lambda data, longest, seed: mutate(bytes(data), longest, seed))
    atheris.Fuzz()
