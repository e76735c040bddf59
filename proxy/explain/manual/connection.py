"""Reasons from the accepted connection to the complete request, TLS left out."""

from proxy.explain.manual.entry import NOTHING, ManualEntry
from proxy.policy import Reason

CONNECTION = {
    Reason.ADDRESS_DENIED: ManualEntry(
        "The source address is not in the listener's networks.",
        "Find out which device has the address, and whether it may connect at all.",
        "Add the address to the listener's networks.",
    ),
    Reason.CONNECTION_LIMIT: ManualEntry(
        "The gateway has as many connections open as limits.connections, or the descriptor limit, allows.",
        "Look at the metric dicomgate_connections_active, and at `dicomgate top` for associations that stay open.",
        "Raise limits.connections, and LimitNOFILE of the unit with it.",
    ),
    Reason.ADDRESS_LIMIT: ManualEntry(
        "One address has too many connections open, or too many that have not become an association.",
        "Find out what that device does: it may open connections in advance, or be a NAT router for many devices.",
        "Correct the device. If it is simply busy, raise limits.connections_per_address or "
        "limits.handshakes_per_address.",
    ),
    Reason.PROXY_HEADER_MISSING: ManualEntry(
        "The listener demands a PROXY header, and the connection began without one.",
        "Check that the sender comes through the load balancer, and that PROXY headers are switched on there.",
        "Switch them on (HAProxy: send-proxy-v2; nginx: proxy_protocol on), or remove proxy_protocol here.",
    ),
    Reason.PROXY_HEADER_MALFORMED: ManualEntry(
        "The PROXY header violates its protocol, or has a version that the listener does not accept.",
        "Read the detail of the record: it names the fault.",
        "Set proxy_protocol.version to what the load balancer sends, or correct the load balancer.",
    ),
    Reason.PROXY_HEADER_UNTRUSTED: ManualEntry(
        "A listener with proxy_protocol was reached from an address that may not send PROXY headers.",
        "Find out whether the address is a load balancer, or a sender that bypasses it.",
        "Add a load balancer to proxy_protocol.trusted. Point senders at the load balancer, or at a listener without "
        "proxy_protocol.",
    ),
    Reason.PROXY_HEADER_TIMEOUT: ManualEntry(
        "No complete PROXY header arrived within timeouts.proxy_header.",
        "Check whether only the load balancer's health checks come without a header; these do no harm.",
        "Switch PROXY headers on at the load balancer.",
    ),
    Reason.NOT_TLS: ManualEntry(
        "A TLS listener received something else; the record names it. Most often it is plain DICOM.",
        "Check whether the device uses TLS for this destination.",
        "Switch TLS on at the device, or correct its port.",
    ),
    Reason.CLIENT_HELLO_TIMEOUT: ManualEntry(
        "The connection was opened, but no complete ClientHello arrived within timeouts.client_hello.",
        "Find out what connects: a device that opens connections in advance, a port scan, or a device behind a "
        "firewall that drops packets.",
        "Correct the device or the network. If they really are that slow, raise timeouts.client_hello.",
    ),
    Reason.CLIENT_HELLO_MALFORMED: ManualEntry(
        "The ClientHello violates TLS, is longer than 16 KiB, or asks for an illegal server name such as an IP "
        "address.",
        "Check whether the device is configured with an address instead of a host name, and sends it as SNI.",
        "Configure the device with a host name, or update its software.",
    ),
    Reason.TLS_ON_PLAIN: ManualEntry(
        "A plaintext listener received TLS.",
        "Check the port and the TLS setting of the device for this destination.",
        "Correct the port on the device, or switch its TLS off.",
    ),
    Reason.ARTIM_EXPIRED: ManualEntry(
        "No complete A-ASSOCIATE-RQ arrived within timeouts.artim after the TLS handshake, or after the start of a "
        "plaintext connection.",
        "Find out what connects: a device that opens connections in advance, or a client that does not speak DICOM.",
        "Correct the device or the network. If they really are that slow, raise timeouts.artim.",
    ),
    Reason.PROBE_DISCONNECT: ManualEntry(
        "The connection was closed before a byte was sent, as load balancers and monitoring do. It is no failure: "
        "it is counted in the metrics only, and no access record is written.",
        NOTHING,
        NOTHING,
        sender="Nothing: it closed the connection itself.",
    ),
    Reason.REQUESTOR_GONE: ManualEntry(
        "The sender closed the connection before its request was answered.",
        "Compare the sender's time limit with the time that the PACS takes to answer.",
        "Raise the time limit of the sender, or find out why the PACS is slow.",
        sender="A timeout of its own, in most cases.",
    ),
    Reason.TLS_TRUNCATED: ManualEntry(
        "The connection broke before the request was complete, without TLS's close_notify.",
        "Look at the device's log and at the network in between.",
        "Repair the network; the configuration does not cause this.",
        sender="A lost connection, if it is still running.",
    ),
}
