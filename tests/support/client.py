"""A DICOM requestor that a test drives PDU by PDU."""

import socket
import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path

from proxy.dimse.echo import encode_c_echo_rq
from proxy.pdu import PduType, encode_associate_rq, encode_p_data, encode_release_rq
from tests.support.messages import command, one_pdu
from tests.support.pdus import CT_IMAGE_STORAGE, IMPLICIT_LE, VERIFICATION
from tests.support.processes import PATIENCE
from tests.support.site import HOST
from tests.support.wire import Wire

#: Context 1 is Verification, context 3 CT images.
CONTEXTS: tuple[tuple[int, str, Sequence[str]], ...] = (
    (1, VERIFICATION, (IMPLICIT_LE,)),
    (3, CT_IMAGE_STORAGE, (IMPLICIT_LE,)),
)
_C_STORE_RQ = command(0x0001, data_set=True)
COMMAND_END = 12 + len(_C_STORE_RQ)  # in what `p_data` gives: headers of PDU and PDV, and the command set
COMMAND, LAST = 1, 2  # bits of the message control header (PS3.8 annex E.2)


def client_context(ca: Path | None = None, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """TLS of a client; `certificate`: its chain and key; `ca` None: the server is not verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = ca is not None
    if ca is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(ca)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


def connect(
    port: int,
    context: ssl.SSLContext | None = None,
    server_name: str | None = HOST,
    *,
    source: str = "127.0.0.1",
    receive_buffer: int | None = None,
    timeout: float = PATIENCE,
) -> Wire:
    """A connection to 127.0.0.1 from an address of this machine; with a context, the TLS handshake is done."""
    sock = socket.socket()
    try:
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((source, 0))
        sock.settimeout(timeout)
        sock.connect(("127.0.0.1", port))
        wire = Wire(sock, timeout=timeout)
        if context is not None:
            wire.start_tls(context, server_name)
    except BaseException:
        sock.close()
        raise
    return wire


def request(
    called: str = "MAINPACS",
    calling: str = "CT1",
    contexts: Iterable[tuple[int, str, Sequence[str]]] = CONTEXTS,
) -> bytes:
    """An A-ASSOCIATE-RQ."""
    return encode_associate_rq(called, calling, contexts)


def associate(wire: Wire, called: str = "MAINPACS", calling: str = "CT1") -> Wire:
    """Ask for an association, which must be accepted."""
    wire.send(request(called, calling))
    answer = wire.receive_pdu()
    assert answer[:1] == bytes([PduType.A_ASSOCIATE_AC]), answer[:16]
    return wire


def echo(wire: Wire, message_id: int = 1) -> None:
    """C-ECHO on context 1, which must be answered by a P-DATA-TF."""
    wire.send(encode_p_data(1, COMMAND | LAST, encode_c_echo_rq(message_id)))
    answer = wire.receive_pdu()
    assert answer[:1] == bytes([PduType.P_DATA_TF]), answer[:16]


def release(wire: Wire) -> None:
    """A-RELEASE, which must be answered; then close."""
    wire.send(encode_release_rq())
    answer = wire.receive_pdu()
    assert answer[:1] == bytes([PduType.A_RELEASE_RP]), answer[:16]
    wire.close()


def p_data(data: bytes, *, context_id: int = 3) -> bytes:
    """One P-DATA-TF with a whole C-STORE message, whose data set is at COMMAND_END + 6."""
    return one_pdu((context_id, COMMAND | LAST, _C_STORE_RQ), (context_id, LAST, data))
