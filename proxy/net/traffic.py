"""Traffic of an association for the metrics and the access record: bytes, PDUs and DIMSE operations.

Legs and walks count in plain integers. The differences are added to the metrics once a second and at the end, never per
chunk: the byte path looks up no label.
"""

from proxy.net.leg import Leg
from proxy.net.operations import count_operations
from proxy.net.relay import Relay
from proxy.observe.access import AccessRecord
from proxy.observe.metrics import Metrics
from proxy.pdu import PduType

_RELAYED = tuple(
    (pdu_type, pdu_type.name.lower())
    for pdu_type in (PduType.P_DATA_TF, PduType.A_RELEASE_RQ, PduType.A_RELEASE_RP, PduType.A_ABORT)
)
_BYTES = (
    ("received_bytes_total", "client"),
    ("sent_bytes_total", "client"),
    ("received_bytes_total", "upstream"),
    ("sent_bytes_total", "upstream"),
)


class Traffic:
    """The counts of one association that are in the metrics already."""

    __slots__ = ("_flushed", "_metrics", "_record", "_tenant")

    def __init__(self, metrics: Metrics, tenant: str, record: AccessRecord) -> None:
        self._metrics = metrics
        self._tenant = tenant
        self._record = record
        self._flushed = [0] * (len(_BYTES) + 2 * len(_RELAYED))

    def flush(self, requestor: Leg, upstream: Leg, relay: Relay) -> bool:
        """Add the traffic since the last call. Return whether there was any."""
        counts = [requestor.received, requestor.sent, upstream.received, upstream.sent]
        # Without a byte there is no PDU and no operation: thousands of idle associations cost this comparison each.
        if counts == self._flushed[: len(counts)]:
            return False
        to_upstream, to_requestor = relay.to_upstream.pdus, relay.to_requestor.pdus
        counts += [to_upstream[pdu_type] for pdu_type, _ in _RELAYED]
        counts += [to_requestor[pdu_type] for pdu_type, _ in _RELAYED]
        self._add([count - before for count, before in zip(counts, self._flushed, strict=True)])
        self._flushed = counts
        record = self._record
        record.bytes_in, record.bytes_out = requestor.received, requestor.sent
        record.pdus_in, record.pdus_out = sum(to_upstream), sum(to_requestor)
        tally = relay.inspection.take()
        if tally is not None:
            count_operations(tally, self._metrics, self._tenant, record)
        return True

    def _add(self, new: list[int]) -> None:
        """Add to the metrics: bytes by `_BYTES`, then PDUs by `_RELAYED`, those to the upstream first."""
        metrics, tenant = self._metrics, self._tenant
        for index, (name, side) in enumerate(_BYTES):
            metrics.add(name, (tenant, side), new[index])
        pdus = iter(new[len(_BYTES) :])
        for direction in ("in", "out"):
            for (_, pdu_type), number in zip(_RELAYED, pdus, strict=False):
                if number:
                    metrics.add("pdus_total", (tenant, direction, pdu_type), number)
