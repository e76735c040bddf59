"""What every reason means and what to do about it, for `dicomgate explain REASON` and docs/refusals.md.

Written for whoever is called at night because a modality cannot send.
"""

from dataclasses import dataclass
from typing import Any

from proxy.observe.answers import describe_answer
from proxy.policy import Reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """The meaning of a reason, and the remedy: one or two sentences each."""

    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Described:
    """A reason in full."""

    reason: Reason
    meaning: str
    answer: str
    remedy: str
    observable: bool  # `observe_until` lets it pass

    def to_dict(self) -> dict[str, Any]:
        """For `--format json`."""
        return {
            "reason": self.reason,
            "meaning": self.meaning,
            "answer": self.answer,
            "remedy": self.remedy,
            "observable": self.observable,
        }


def describe_reason(reason: Reason) -> Described:
    """One reason in full."""
    refusal = REFUSALS[reason]
    answer = describe_answer(reason.answer)
    return Described(reason, refusal.meaning, answer, refusal.remedy, reason.observable)


def markdown() -> str:
    """The whole vocabulary as docs/refusals.md has it; a test keeps the two equal."""
    lines = [
        "# Refusals: what each reason means, and what to do",
        "",
        "The same word stands in the access record (`reason`), in the metrics and in `dicomgate explain`.",
        "`dicomgate explain REASON` prints one line of this table. Reasons marked * are let pass, and counted as",
        "`would_refuse`, while a tenant's `observe_until` lasts. With `uniform_rejects`, permanent rejections by",
        "policy say 1/1/1 on the wire; the record keeps the true reason.",
        "",
        "| Reason | On the wire | Means | To do |",
        "|---|---|---|---|",
    ]
    for described in map(describe_reason, Reason):
        name = f"`{described.reason}`{' *' if described.observable else ''}"
        lines.append(f"| {name} | {described.answer} | {described.meaning} | {described.remedy} |")
    return "\n".join(lines) + "\n"


_TIMEOUT = "Look at the network in between and at the device's log; if it is really that slow, raise timeouts.{}."
_NOT_BUILT = "Not given by this version."

REFUSALS: dict[Reason, Refusal] = {
    Reason.ADDRESS_DENIED: Refusal(
        "The source address is not in the listener's networks.",
        "If it may connect at all, add it to the listener's networks; else find out who it is.",
    ),
    Reason.CONNECTION_LIMIT: Refusal(
        "As many connections are open as limits.connections, or the descriptor limit, allows.",
        "Look at dicomgate_connections_active for what holds them, then raise the limit (LimitNOFILE too).",
    ),
    Reason.ADDRESS_LIMIT: Refusal(
        "One address has too many connections, or too many that have no association yet.",
        "Find out what that device does. If it is a busy one, raise limits.connections_per_address or "
        "limits.handshakes_per_address.",
    ),
    Reason.PROXY_HEADER_MISSING: Refusal(
        "A load balancer sent no PROXY header where one is demanded.",
        "Switch it on there (HAProxy: send-proxy-v2; nginx: proxy_protocol on), or leave proxy_protocol out here.",
    ),
    Reason.PROXY_HEADER_MALFORMED: Refusal(
        "The PROXY header breaks the protocol, or is of a version that is not accepted.",
        "The detail says what is wrong with it; look at proxy_protocol.version, and at what the load balancer sends.",
    ),
    Reason.PROXY_HEADER_UNTRUSTED: Refusal(
        "A listener behind a load balancer was reached past it: the address may not send PROXY headers.",
        "If that is a load balancer, add its address to proxy_protocol.trusted; senders go to the load balancer, or to "
        "a listener without proxy_protocol.",
    ),
    Reason.PROXY_HEADER_TIMEOUT: Refusal(
        "No complete PROXY header came within timeouts.proxy_header.",
        "Switch it on at the load balancer, if its health checks are not all that comes without one.",
    ),
    Reason.NOT_TLS: Refusal(
        "Something else than TLS came to a TLS port; the record says what, mostly plain DICOM.",
        "Switch TLS on at the device for this destination, or correct its port.",
    ),
    Reason.CLIENT_HELLO_TIMEOUT: Refusal(
        "The connection was opened, and no complete ClientHello came in time.",
        "A device that opens connections in stock, a port scan, or a firewall that eats packets. "
        + _TIMEOUT.format("client_hello"),
    ),
    Reason.CLIENT_HELLO_MALFORMED: Refusal(
        "The ClientHello breaks the rules of TLS, asks for an illegal server name (an IP address is one) or is longer "
        "than 16 KiB.",
        "Configure the device with a host name instead of an address where it sends SNI; else update its software.",
    ),
    Reason.TLS_ON_PLAIN: Refusal(
        "TLS came to a plaintext listener.", "Correct the port on the device, or switch its TLS off."
    ),
    Reason.SNI_UNKNOWN: Refusal(
        "The client asks for a server name (SNI) that no tenant of the listener has.",
        "Correct the host name on the device, add it to the tenant's server_names, or set the listener's unknown_sni "
        "to match.",
    ),
    Reason.SNI_MISMATCH: Refusal(
        "OpenSSL read another server name in the ClientHello than the gateway did.",
        "No honest client causes this. Keep the record and find out what sent it.",
    ),
    Reason.SNI_MISSING: Refusal(
        "The client sends no server name (SNI), and the listener demands one.",
        "Configure the device with a host name and SNI, or set the listener's without_sni to match.",
    ),
    Reason.TLS_VERSION: Refusal(
        "The client offers no TLS version of the profile; the record says what it offers.",
        "Update the device, or give it a listener of its own with a legacy profile and networks.",
    ),
    Reason.TLS_NO_SHARED_CIPHER: Refusal(
        "The client offers no cipher suite, group or signature algorithm that fits the profile and our certificates.",
        "Serve RSA and ECDSA certificates side by side. Update the device, or give it a listener with a legacy "
        "profile.",
    ),
    Reason.CLIENT_CERTIFICATE_MISSING: Refusal(
        "A client certificate is required, and the client sent none.",
        "Install a certificate with its key on the device (`dicomgate pki issue`) and have it sent.",
    ),
    Reason.CLIENT_CERTIFICATE_UNTRUSTED: Refusal(
        "The client's certificate does not lead to a CA that is trusted here, nor is it pinned.",
        "Add its CA under client_auth.ca, or a self-signed certificate under cert.file of its peer; have the device "
        "send its intermediates. `dicomgate pki inspect` shows what a certificate is good for.",
    ),
    Reason.CLIENT_CERTIFICATE_EXPIRED: Refusal(
        "The client's certificate, or one above it, has expired.",
        "Issue a new one for the device; look at its clock and at ours.",
    ),
    Reason.CLIENT_CERTIFICATE_NOT_YET_VALID: Refusal(
        "The client's certificate, or one above it, is valid only later.",
        "Look at the clocks, here and where it was issued.",
    ),
    Reason.CLIENT_CERTIFICATE_WRONG_USAGE: Refusal(
        "The client's certificate is not for clients: its extended key usage is without clientAuth.",
        "Issue one with clientAuth (or without that extension) for the device.",
    ),
    Reason.CLIENT_CERTIFICATE_WEAK: Refusal(
        "The client's certificate, or one above it, has a key or a signature that is too weak.",
        "Issue one with RSA of 2048 bits or EC of 256 bits, and SHA-2. Judged after the handshake (B.13 and legacy "
        "profiles), the answer is A-ASSOCIATE-RJ 1/1/3.",
    ),
    Reason.TLS_PEER_ALERT: Refusal(
        "The client ended the handshake with an alert; mostly it does not trust our certificate.",
        "Import our CA into the device's trust store, and use a host name that our certificate has.",
    ),
    Reason.TLS_TIMEOUT: Refusal(
        "The TLS handshake did not end in time.",
        "Look whether the device waits for somebody to confirm our certificate. " + _TIMEOUT.format("tls_handshake"),
    ),
    Reason.TLS_FAILED: Refusal(
        "TLS failed in another way; the record has OpenSSL's words.",
        "Look at the device's log; try `dicomgate echo` and `openssl s_client` from its place.",
    ),
    Reason.CLIENT_CERTIFICATE_REVOKED: Refusal(
        "The client's certificate is in a CRL, or under client_auth.revoked.", "Issue a new one for the device."
    ),
    Reason.CLIENT_CERTIFICATE_CRL_STALE: Refusal(
        "The CRL of the certificate's issuer is past its nextUpdate, and crl_expired is refuse.",
        "Fetch a current CRL from the CA and put it under client_auth.crl; `dicomgate reload` takes it up at once.",
    ),
    Reason.CLIENT_CERTIFICATE_WRONG_CA: Refusal(
        "The client's certificate is valid, and its CA is not one of the tenant's; or a pinned certificate issued it.",
        "Use a certificate of the tenant's own CA, or add that CA to the tenant's client_auth.ca.",
    ),
    Reason.ARTIM_EXPIRED: Refusal(
        "After TLS no complete A-ASSOCIATE-RQ came in time.",
        "A device that opens connections in stock, or one that is not DICOM. " + _TIMEOUT.format("artim"),
    ),
    Reason.PROBE_DISCONNECT: Refusal(
        "The connection was closed before a byte was sent, as load balancers and monitoring do.",
        "Nothing: it is no failure and not counted as one.",
    ),
    Reason.REQUESTOR_GONE: Refusal(
        "The sender left before its request was answered.",
        "Look whether its time limit is shorter than the PACS's answer takes.",
    ),
    Reason.TLS_TRUNCATED: Refusal(
        "The connection broke inside the request, without TLS's good-bye.", "Look at the network in between."
    ),
    Reason.PDU_INVALID: Refusal(
        "What was sent breaks the tables of PS3.8; the record says where.",
        "Not DICOM, or broken software: update the sender and show its vendor the record.",
    ),
    Reason.PDU_UNEXPECTED: Refusal(
        "A PDU came that the state of the association does not allow.",
        "Broken software: update the sender and show its vendor the record.",
    ),
    Reason.REQUEST_TOO_LARGE: Refusal(
        "The A-ASSOCIATE-RQ is longer than limits.associate_rq.",
        "Have the device propose fewer SOP classes, or raise limits.associate_rq.",
    ),
    Reason.PROTOCOL_VERSION: Refusal(
        "The request has not the protocol version of DICOM's upper layer.", "Update the sender's software."
    ),
    Reason.APPLICATION_CONTEXT: Refusal(
        "The request proposes another application context than DICOM's.", "Update the sender's software."
    ),
    Reason.CALLED_AET_UNKNOWN: Refusal(
        "Nobody here is called by that AE title.",
        "Correct the called AE title on the device (case counts), or add it to called_aets or routes of the tenant.",
    ),
    Reason.REQUEST_AMBIGUOUS: Refusal(
        "The PACS could read the request differently than the gateway, e.g. AE titles padded with NULs.",
        "Have the device send AE titles of printable ASCII, padded with spaces; for NULs there is the tenant's "
        "accept_nul_padding.",
    ),
    Reason.TOO_MANY_CONTEXTS: Refusal(
        "The request proposes more presentation contexts than limits.presentation_contexts, or than DICOM knows (128).",
        "Have the device propose fewer SOP classes.",
    ),
    Reason.NO_PERMITTED_CONTEXT: Refusal(
        "The request proposes no presentation context that may be used.",
        "Enable on the device what its peer may do, or add what it needs to the peer's allow, sop_classes or "
        "transfer_syntaxes.",
    ),
    Reason.TENANT_AMBIGUOUS: Refusal(
        "Without SNI, more than one tenant would take the request.",
        "Give the tenants different networks or called_aets, or have the device send SNI.",
    ),
    Reason.TENANT_MISMATCH: Refusal(
        "The server name selects one tenant, and the called AE title is another's.",
        "Correct one of the two on the device.",
    ),
    Reason.CALLING_AET_UNKNOWN: Refusal(
        "No peer of the tenant has the calling AE title.",
        "Add a peer with that title, or correct the title on the device (case counts).",
    ),
    Reason.SOURCE_NOT_ALLOWED: Refusal(
        "The calling AE title is known, but not from this address; or the address is outside the tenant's networks.",
        "If the device has moved, change its peer's from; else find out who uses its title.",
    ),
    Reason.CERTIFICATE_REQUIRED: Refusal(
        "The peer or the tenant is bound to a client certificate, and none was shown.",
        "Install a certificate on the device and have it sent. The listener or tenant must ask for one "
        "(client_auth.mode).",
    ),
    Reason.CERTIFICATE_NOT_BOUND: Refusal(
        "The client certificate is valid, but not the one that the calling AE title is bound to.",
        "Give the device its own certificate, or correct the peer's cert conditions.",
    ),
    Reason.SNI_REQUIRED: Refusal(
        "The tenant demands a client certificate, and without SNI this listener asks for none.",
        "Have the device send SNI, or set the listener's client_auth.mode to optional.",
    ),
    Reason.PEER_REFUSED: Refusal(
        "The matching peer says action: refuse.", "Ask whoever wrote the entry before you remove it."
    ),
    Reason.IDENTITY_REQUIRED: Refusal("A user is demanded, and none was given.", _NOT_BUILT),
    Reason.IDENTITY_REFUSED: Refusal("The user was not accepted.", _NOT_BUILT),
    Reason.ASSOCIATION_LIMIT: Refusal(
        "As many associations are open as max_associations of the tenant or of the peer allows.",
        "The device tries again by itself. If it happens often, raise max_associations, or find out what keeps "
        "associations open.",
    ),
    Reason.DRAINING: Refusal("The gateway is about to stop.", "Nothing: the device tries again by itself."),
    Reason.UPSTREAM_UNAVAILABLE: Refusal(
        "The PACS cannot be reached, or closes the connection instead of an answer; the record says how each of its "
        "addresses failed.",
        "Look at the PACS and the network: `dicomgate status` shows each server with its last health check, "
        "`dicomgate echo HOST:PORT --called TITLE` from the gateway's machine asks it now.",
    ),
    Reason.UPSTREAM_TIMEOUT: Refusal(
        "The PACS took the connection and did not answer the request in time.",
        "Look at the PACS: it is overloaded or hangs. timeouts.upstream_accept is how long it may take. "
        "A `health_check` of type echo keeps associations away from such a server where there is another one.",
    ),
    Reason.UPSTREAM_TLS_FAILED: Refusal(
        "TLS to the PACS failed: its certificate, ours, or what the two can speak; the record says which.",
        "`dicomgate echo HOST:PORT --tls` with --sni, --ca and --cert as in the upstream's tls shows the certificate "
        "that the PACS sends. If it does not take ours, it must trust the CA of tls.certificate.",
    ),
    Reason.UPSTREAM_PROTOCOL_ERROR: Refusal(
        "What the PACS answered is not DICOM.", "Look whether the upstream's address and port are really the PACS's."
    ),
    Reason.UPSTREAM_LOOP: Refusal(
        "The upstream leads back to this gateway: by its own address, or through a load balancer, a port forwarder, "
        "NAT or another gateway. The event `upstream_loop` of the log names the server.",
        "Correct the address of the server, or where that leads which stands between the two. A loop through others is "
        "looked for again after 30 s.",
    ),
    Reason.IDENTITY_UNAVAILABLE: Refusal("Nobody can be asked who the user is.", _NOT_BUILT),
    Reason.INTERNAL: Refusal(
        "A bug of the gateway ended this one association.",
        "Report it, with the event `internal` of the log that stands beside the record.",
    ),
    Reason.UPSTREAM_REJECTED: Refusal(
        "The gateway let it pass and the PACS rejected it; the sender got the PACS's own answer.",
        "Look at the PACS: it must know the calling AE title, often together with the gateway's address.",
    ),
    Reason.UPSTREAM_ABORTED: Refusal(
        "The gateway let it pass and the PACS aborted it instead of answering.", "Look at the PACS's log."
    ),
    Reason.OPERATION_NOT_ALLOWED: Refusal(
        "On an open association a DIMSE request came that the peer's allow does not hold, or from the side that does "
        "not have the role for it. It was not forwarded; the association goes on.",
        "Add the operation to the peer's allow, or disable it on the device.",
    ),
    Reason.MOVE_DESTINATION_NOT_ALLOWED: Refusal(
        "A C-MOVE was to send to an AE title that the peer's move_destinations do not hold. It was not forwarded; the "
        "association goes on.",
        "Add the title to the peer's move_destinations, or correct the destination on the device.",
    ),
    Reason.POLICY_CHANGED: Refusal(
        "After a reload the association would be refused, so it was ended; the detail says by which rule.",
        "If the device is to go on, correct the configuration and reload; it may come again at once.",
    ),
    Reason.DISCONNECTED: Refusal(
        "An operator ended the association (`dicomgate disconnect`).",
        "Nothing: the device may come again at once. To keep it out, change its peer and reload.",
    ),
}
