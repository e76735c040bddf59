"""The stages of an association before its relay, each a small function that can refuse (docs/architecture.md).

Each stage reads through its `Conversation`, which keeps the deadline of the stage; no stage keeps time itself.
"""

import ssl
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from proxy.net.leg import Leg
from proxy.net.refused import Refused, UpstreamRefused
from proxy.pdu import (
    AAssociateAC,
    AAssociateRQ,
    AbortReason,
    AbortSource,
    PduError,
    PduFramer,
    PduTooLarge,
    PduType,
    RequestAmbiguous,
    UnexpectedPdu,
    UnrecognizedPdu,
    parse_associate_ac,
    parse_associate_rq,
    restore_associate_ac,
)
from proxy.pdu.first_bytes import SIGNATURE, describe_first_bytes, name_protocol
from proxy.policy import (
    Abort,
    Accept,
    Alert,
    Ended,
    Entrance,
    Facts,
    ListenerPolicy,
    Reason,
    Refuse,
    VerifiedCertificate,
)
from proxy.policy.tenants import entrance_for_sni
from proxy.tls.contexts import ServerContext
from proxy.tls.endpoint import TlsEndpoint
from proxy.tls.failures import explain_handshake_failure, tls_failure_in_words
from proxy.tls.handshake_words import explain_client_failure
from proxy.tls.hello import ClientHello, ClientHelloMalformed, ClientHelloReader, NotTls

_FIRST_PDU = frozenset({PduType.A_ASSOCIATE_RQ, PduType.A_ABORT})
_ANSWER = frozenset({PduType.A_ASSOCIATE_AC, PduType.A_ASSOCIATE_RJ, PduType.A_ABORT})
_TLS_HANDSHAKE_RECORD = 0x16
_MISTAKEN = ("HTTP", "SSH", "SMTP", "PROXY protocol")  # protocols that four bytes identify reliably
_TLS_HINT = "; if the server expects TLS, configure `tls` for this upstream"
# Bytes. Only identity and application information can make an A-ASSOCIATE-AC longer than the request that it answers.
_LONGEST_AC = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Secured:
    """The requestor after TLS, or after the PROXY header of a plaintext listener.

    `entrance` is the tenant that SNI names; None if the tenant is matched later. `received` are plaintext bytes that
    were read already; with TLS there are none.
    """

    entrance: Entrance | None = None
    certificate: VerifiedCertificate | None = None
    server_name: str | None = None
    received: bytes = b""


@dataclass(frozen=True, slots=True)
class Asked:
    """The A-ASSOCIATE-RQ as received, and the facts to decide on."""

    pdu: bytes
    facts: Facts
    entrance: Entrance | None


class Conversation(Protocol):
    """The association, as its stages see it: the place where they wait."""

    async def event_on(self, leg: Leg) -> None:
        """Wait until `leg` has bytes or its end, or is connected. An interruption of the stage cancels the wait."""


async def read_client_hello(conversation: Conversation, leg: Leg, received: bytes = b"") -> tuple[ClientHello, bytes]:
    """Return the ClientHello and every byte read so far, with which TLS must be fed.

    `received`: bytes that were read with a PROXY header.
    """
    # Read by the gateway and not by OpenSSL: the server name selects the context, and there is no TLS object before.
    reader = ClientHelloReader()
    data: bytes | memoryview = received
    while True:
        if data:
            try:
                hello = reader.feed(data)
            except NotTls as error:
                raise Refused(Reason.NOT_TLS, f"the peer speaks {error.what} on a TLS port") from None
            except ClientHelloMalformed as error:
                raise Refused(Reason.CLIENT_HELLO_MALFORMED, str(error)) from None
            if hello is not None:
                return hello, bytes(reader.raw)
        if leg.eof:
            if not reader.raw:
                raise Refused(Reason.PROBE_DISCONNECT, "closed before a byte was sent")
            raise Refused(Reason.REQUESTOR_GONE, "closed inside the ClientHello")
        await conversation.event_on(leg)
        data = leg.receive_raw()


def admit_entrance(listener: ListenerPolicy, server_name: str | None) -> Entrance | None:
    """Return the tenant that SNI names; None if the tenant is matched later. Refuses before a TLS object is created."""
    entrance = entrance_for_sni(listener, server_name)
    if isinstance(entrance, Refuse):
        raise Refused(entrance.reason, entrance.detail, entrance.answer)
    return entrance


async def tls_handshake(
    conversation: Conversation, leg: Leg, context: ServerContext, hello: ClientHello, received: bytes
) -> TlsEndpoint:
    """Do the TLS handshake under the context of one tenant. On failure the alert is sent before `Refused` is raised."""
    # OpenSSL reads the same ClientHello again. If its parser finds another server name than ours, the context of the
    # wrong tenant may have been chosen: `sni_mismatch`.
    endpoint = TlsEndpoint(context.ssl, server_side=True)
    context.expect_server_name(endpoint.object, hello.server_name)
    try:
        await shake_hands(conversation, leg, endpoint, received)
    except ssl.SSLError as error:
        mismatch = context.server_name_mismatch(endpoint.object)
        reason, detail = explain_handshake_failure(error, hello, context.profile, sni_mismatch=mismatch)
        raise Refused(reason, detail, Alert()) from None
    except ConnectionError:
        raise Refused(Reason.REQUESTOR_GONE, "closed during the TLS handshake") from None
    return endpoint


async def shake_hands(conversation: Conversation, leg: Leg, endpoint: TlsEndpoint, received: bytes) -> None:
    """Do the TLS handshake of either side, beginning with the bytes `received`. The leg does not own the endpoint yet.

    Raises `ssl.SSLError` after the alert has been sent, and ConnectionError if the peer has left.
    """
    data: bytes | memoryview = received
    while True:
        try:
            complete = endpoint.handshake(data)
        finally:  # a handshake that fails has written an alert, which says to the peer what is wrong
            if endpoint.has_output:
                leg.send_raw(endpoint.output())
        if complete:
            return
        data = b""
        while not data:
            await conversation.event_on(leg)
            data = leg.receive_raw()
            if leg.eof and not data:
                raise ConnectionError(leg.lost or "closed")


async def read_request(conversation: Conversation, leg: Leg, limit: int, received: bytes = b"") -> bytes:
    """Return the A-ASSOCIATE-RQ as received. `limit` bounds the whole PDU (bytes).

    `received`: bytes that a plaintext listener has read with a PROXY header.
    """
    # The limit bounds what is buffered: the framer refuses a longer PDU by its length field, before its body arrives.
    framer = PduFramer(limit - 6, _FIRST_PDU)
    plaintext = leg.tls is None
    leg.received += len(received)
    data = memoryview(received) if plaintext else leg.receive_decrypted()
    while True:
        # A reason of its own, because a device with TLS on a plaintext port is the commonest mistake of all.
        if plaintext and data and not framer.received and data[0] == _TLS_HANDSHAKE_RECORD:
            raise Refused(Reason.TLS_ON_PLAIN, "a TLS ClientHello on a plaintext listener")
        try:
            pdu = framer.feed(data)
        except PduError as error:
            raise _no_request(error, bytes(data[:SIGNATURE])) from None
        if pdu is not None:
            break
        if leg.eof:
            raise _request_cut(leg, framer.received)
        await conversation.event_on(leg)
        data = leg.receive()
    if pdu[0] == PduType.A_ABORT:
        raise Refused(Reason.REQUESTOR_GONE, "A-ABORT before a request", ended=Ended.ABORTED_BY_REQUESTOR)
    if leg.eof:
        raise _request_cut(leg, framer.received)
    # Before the answer only an A-ABORT may follow (PS3.8 section 9.2, Sta3). Other bytes belong to no association yet:
    # forwarding them would let a requestor talk to the upstream before the policy has decided.
    if framer.trailing:
        text = "data after the A-ASSOCIATE-RQ, before it was answered"
        raise Refused(Reason.PDU_UNEXPECTED, text, Abort(AbortSource.SERVICE_PROVIDER, AbortReason.UNEXPECTED_PDU))
    return pdu


def _no_request(error: PduError, first: bytes) -> Refused:
    """Return the refusal of bytes that are no A-ASSOCIATE-RQ. It names their protocol if the `first` bytes show it."""
    refused = request_error(error)
    if isinstance(error, UnrecognizedPdu) and len(first) > 3 and (protocol := name_protocol(first)) in _MISTAKEN:
        refused.detail = f"the peer speaks {protocol}, not DICOM"
    return refused


def understand_request(pdu: bytes) -> AAssociateRQ:
    """Parse an A-ASSOCIATE-RQ. Raise `Refused` if other parsers could read it differently (invariant 9)."""
    try:
        return parse_associate_rq(pdu)
    except RequestAmbiguous as error:
        raise Refused(Reason.REQUEST_AMBIGUOUS, str(error)) from None
    except PduError as error:
        raise request_error(error) from None


def request_error(error: PduError) -> Refused:
    """Return the refusal of a request that cannot be read (PS3.8 section 9.2, Sta2: action AA-1).

    The A-ABORT is one of the service-user, in which the reason is not significant.
    """
    if isinstance(error, PduTooLarge):
        reason = Reason.REQUEST_TOO_LARGE
    elif isinstance(error, UnexpectedPdu | UnrecognizedPdu):
        reason = Reason.PDU_UNEXPECTED
    else:
        reason = Reason.PDU_INVALID
    return Refused(reason, str(error), Abort(AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED))


def _request_cut(leg: Leg, received: int) -> Refused:
    """Return the refusal of a requestor that has left after `received` bytes of its request."""
    if leg.tls_failure is not None:
        return Refused(Reason.TLS_FAILED, tls_failure_in_words(leg.tls_failure), Alert())
    if not received:
        if leg.tls is None:
            return Refused(Reason.PROBE_DISCONNECT, "closed before a byte was sent")
        return Refused(Reason.REQUESTOR_GONE, "closed after the TLS handshake, without an A-ASSOCIATE-RQ")
    if leg.truncated:
        return Refused(Reason.TLS_TRUNCATED, "closed within the A-ASSOCIATE-RQ, without close_notify")
    return Refused(Reason.REQUESTOR_GONE, "closed within or right after the A-ASSOCIATE-RQ")


class Accepted(NamedTuple):
    """The A-ASSOCIATE-AC of an upstream: as received, as parsed, and the bytes that followed it."""

    pdu: bytes
    parsed: AAssociateAC
    trailing: bytes


async def read_answer(conversation: Conversation, leg: Leg) -> Accepted | UpstreamRefused:
    """Read the upstream's answer to the request. Raises `Refused` if no answer comes that PS3.8 allows."""
    framer = PduFramer(_LONGEST_AC, _ANSWER)
    data = memoryview(b"") if leg.tls is None else leg.receive_decrypted()
    while True:
        try:
            pdu = framer.feed(data)
            if pdu is not None and pdu[0] == PduType.A_ASSOCIATE_AC:
                return Accepted(pdu, parse_associate_ac(pdu), framer.trailing)
        except PduError as error:
            text = f"answer of the upstream: {error}"
            if isinstance(error, UnrecognizedPdu):
                text += f" ({describe_first_bytes(bytes(data[:SIGNATURE]))})"
            raise Refused(Reason.UPSTREAM_PROTOCOL_ERROR, text) from None
        if pdu is not None:
            return UpstreamRefused(pdu)
        if leg.tls_failure is not None:
            # In TLS 1.3 a server judges our certificate after our side of the handshake is done: its alert comes here.
            raise Refused(Reason.UPSTREAM_TLS_FAILED, f"upstream: {explain_client_failure(leg.tls_failure)}")
        if leg.eof:
            how = leg.lost or "closed"
            hint = _TLS_HINT if leg.tls is None and not framer.received else ""
            text = f"the upstream ended the connection before it answered the request: {how}{hint}"
            raise Refused(Reason.UPSTREAM_UNAVAILABLE, text)
        await conversation.event_on(leg)
        data = leg.receive()


def answer_to_requestor(answer: Accepted, asked: Asked, decision: Accept) -> tuple[bytes, frozenset[int]]:
    """Return the A-ASSOCIATE-AC for the requestor, and the ids of the presentation contexts that it may use."""
    request, accept = asked.facts.request, answer.parsed
    proposed = frozenset(context.context_id for context in request.presentation_contexts)
    kept = proposed if decision.keep_contexts is None else proposed & decision.keep_contexts
    titles = decision.called_ae_title is not None or decision.calling_ae_title is not None
    try:
        pdu = restore_associate_ac(
            answer.pdu,
            accept,
            request,
            asked.pdu,
            refused=proposed - kept,
            transfer_syntaxes=decision.transfer_syntaxes,
            scp_roles=decision.scp_roles,
            titles=titles,
        )
    except PduError as error:
        raise Refused(Reason.UPSTREAM_PROTOCOL_ERROR, f"answer of the upstream: {error}") from None
    accepted = frozenset(context.context_id for context in accept.presentation_contexts if not context.result)
    # `kept`: an upstream that accepts a context which it was not offered opens nothing to the requestor.
    return pdu, accepted & kept
