"""The stage before all others, where a load balancer stands in front: its PROXY header says who the requestor is."""

from typing import Any

from proxy.config.values import Listener, ProxyProtocol
from proxy.net.leg import Leg
from proxy.net.refused import Refused
from proxy.net.stages import Conversation
from proxy.pdu.proxy_header import (
    Endpoint,
    ProxyHeader,
    ProxyHeaderMalformed,
    ProxyHeaderMissing,
    ProxyHeaderReader,
)
from proxy.policy import Address, Reason
from proxy.policy.addresses import contains, normalize

ADDRESS_DENIED = "the listener's networks do not hold this address"


def endpoint(address: tuple[Any, ...]) -> Endpoint:
    """An address of the socket module as the policy compares it."""
    return normalize(address[0]), address[1]


async def read_proxy_header(
    conversation: Conversation, leg: Leg, protocol: ProxyProtocol, peer: Endpoint
) -> tuple[ProxyHeader, bytes]:
    """The header of `peer`, its addresses as the policy compares them, and what was read behind it."""
    if not contains(protocol.trusted, peer[0]):
        raise Refused(Reason.PROXY_HEADER_UNTRUSTED, "proxy_protocol.trusted does not hold this address")
    reader = ProxyHeaderReader(protocol.versions)
    while True:
        await conversation.event_on(leg)
        try:
            header = reader.feed(leg.receive_raw())
        except ProxyHeaderMissing as error:
            raise Refused(Reason.PROXY_HEADER_MISSING, str(error)) from None
        except ProxyHeaderMalformed as error:
            raise Refused(Reason.PROXY_HEADER_MALFORMED, str(error)) from None
        if header is not None:
            return _compared(header, peer), reader.trailing
        if leg.eof:
            if not reader.started:
                raise Refused(Reason.PROBE_DISCONNECT, "closed before a byte was sent")
            raise Refused(Reason.REQUESTOR_GONE, "closed inside the PROXY header")


def _compared(header: ProxyHeader, peer: Endpoint) -> ProxyHeader:
    """As the policy compares addresses. Who names its own socket speaks for itself: HAProxy's checks in version 1."""
    if header.source is None or header.destination is None or endpoint(header.source) == peer:
        return ProxyHeader()
    return ProxyHeader(endpoint(header.source), endpoint(header.destination))


async def admit_address(
    conversation: Conversation, leg: Leg, listener: Listener, address: Address, header: ProxyHeader, received: bytes
) -> bytes:
    """Refuse an address that is not in the listener's networks; what was `received` behind the header so far.

    The health checks of a load balancer come from its own address, which need not be in `networks`: it connects, and
    leaves without a word. So who speaks for itself is refused when it says something.
    """
    while not contains(listener.policy.networks, address):
        if received or header.source is not None:
            raise Refused(Reason.ADDRESS_DENIED, ADDRESS_DENIED)
        if leg.eof:
            raise Refused(Reason.PROBE_DISCONNECT, "closed before a byte was sent")
        await conversation.event_on(leg)
        received = bytes(leg.receive_raw())
    return received
