"""The first stage of a listener behind a load balancer: the PROXY header names the requestor."""

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

ADDRESS_DENIED = "this address is not in the listener's networks"


def endpoint(address: tuple[Any, ...]) -> Endpoint:
    """Return an address of the socket module in the form that the policy compares."""
    return normalize(address[0]), address[1]


async def read_proxy_header(
    conversation: Conversation, leg: Leg, protocol: ProxyProtocol, peer: Endpoint
) -> tuple[ProxyHeader, bytes]:
    """Return the header that `peer` sends, its addresses as the policy compares them, and the bytes that followed."""
    # Before a byte is read: any other peer could claim an address that the policy accepts.
    if not contains(protocol.trusted, peer[0]):
        raise Refused(Reason.PROXY_HEADER_UNTRUSTED, "this address is not in proxy_protocol.trusted")
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
    """Return the header with normalised addresses.

    A header whose source is the load balancer's own socket names no requestor: HAProxy's health checks send such a
    header in version 1.
    """
    if header.source is None or header.destination is None or endpoint(header.source) == peer:
        return ProxyHeader()
    return ProxyHeader(endpoint(header.source), endpoint(header.destination))


async def admit_address(
    conversation: Conversation, leg: Leg, listener: Listener, address: Address, header: ProxyHeader, received: bytes
) -> bytes:
    """Refuse an address outside the listener's networks. Return the bytes after the header, `received` among them.

    The health checks of a load balancer come from its own address, which need not be in `networks`. They connect and
    leave without a byte, so a load balancer that speaks for itself is refused only once it sends something.
    """
    while not contains(listener.policy.networks, address):
        if received or header.source is not None:
            raise Refused(Reason.ADDRESS_DENIED, ADDRESS_DENIED)
        if leg.eof:
            raise Refused(Reason.PROBE_DISCONNECT, "closed before a byte was sent")
        await conversation.event_on(leg)
        received = bytes(leg.receive_raw())
    return received
