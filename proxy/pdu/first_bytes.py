"""Names the protocol that a peer speaks by the first bytes it sends: a client in place of TLS or DICOM, or a server."""

#: Bytes that are enough to name a protocol, or to be shown if they name none.
SIGNATURE = 16

_CLIENTS = (
    (b"\x01\x00", "plain DICOM"),  # A-ASSOCIATE-RQ and its reserved byte (PS3.8 Table 9-11)
    *((method + b" ", "HTTP") for method in (b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"PATCH")),
    (b"CONNECT ", "HTTP"),
    (b"TRACE ", "HTTP"),
    (b"PRI * HTTP", "HTTP"),
    (b"SSH-", "SSH"),
    (b"EHLO", "SMTP"),
    (b"HELO", "SMTP"),
    (b"\x03\x00", "RDP"),  # TPKT, RFC 1006
    (b"PROXY ", "PROXY protocol"),
    (b"\r\n\r\n\x00\r\nQUIT\n", "PROXY protocol"),
)
_TLS_ALERT = b"\x15\x03"  # content type and major version (RFC 8446 5.1): how a TLS server answers a PDU


def name_protocol(first: bytes) -> str:
    """Return the name of the protocol that a client speaks instead of TLS, judged by its first bytes, one at least."""
    for signature, name in _CLIENTS:
        if first[: len(signature)] == signature[: len(first)]:
            return name
    # RFC 5246 E.2: two bytes of length with the top bit set, CLIENT-HELLO, version.
    if first[0] & 0x80 and first[2:3] in (b"", b"\x01") and first[3:4] in (b"", b"\x00", b"\x02", b"\x03"):
        return "SSLv2"
    return "unknown bytes"


def describe_first_bytes(first: bytes) -> str:
    """Describe the answer of a server that does not speak DICOM. Its own bytes are escaped, and few."""
    if first.startswith(_TLS_ALERT):
        return "the peer speaks TLS here"
    return f"it begins with {first[:SIGNATURE]!r}"
