"""One direction of a relay: its source, its sink, and the state of its end."""

import enum

from proxy.dimse.walk import MessageWalk
from proxy.net.association_end import Side
from proxy.net.leg import Leg


class FlowState(enum.Enum):
    """The progress of a flow towards its end (the picture of the states is in proxy/net/relay.py)."""

    RUNNING = enum.auto()
    ENDING = enum.auto()  # forwards up to the next PDU boundary, then sends an A-ABORT
    DONE = enum.auto()  # nothing more is sent to the sink; what the source still sends is dropped


class Flow:
    """Bytes from `source` to `sink`. `side` is the side of the source."""

    __slots__ = ("answers", "held_back", "longest_pdu", "reset_sink", "side", "sink", "source", "state", "walk")

    def __init__(self, side: Side, source: Leg, sink: Leg, walk: MessageWalk, longest_pdu: int) -> None:
        self.side = side
        self.source = source
        self.sink = sink
        self.walk = walk
        self.longest_pdu = longest_pdu  # maximum length that the sink has negotiated (PS3.8 annex D.1), 0: any
        self.held_back = b""  # read, but too short for the walk to judge; at most LONGEST_HELD_BACK bytes
        self.answers: tuple[bytes, ...] = ()  # DIMSE responses of ours to the sink; they wait for the end of a message
        self.state = FlowState.RUNNING
        self.reset_sink = False  # the sink is inside a PDU that will never be completed
