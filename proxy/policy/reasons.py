"""The one vocabulary of refusals: every reason, and what it says on the wire (docs/refusals.md).

The same word stands in the access record, the metrics, `explain`, the audit trail and the documentation.
"""

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Close:
    """TCP FIN, no PDU and no alert of ours."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A fatal TLS alert (RFC 8446 section 6). `description` None: the one that OpenSSL chose."""

    description: int | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """A-ASSOCIATE-RJ: result, source, reason (PS3.8 Table 9-21)."""

    result: int
    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class Abort:
    """A-ABORT: source and reason (PS3.8 Table 9-26). `source` None: by the state, 0 before the association, 2 in it."""

    source: int | None = None
    reason: int = 0


@dataclass(frozen=True, slots=True)
class PassOn:
    """The upstream's own answer, forwarded."""


@dataclass(frozen=True, slots=True)
class Status:
    """A DIMSE response with this status (PS3.7 annex C); the association goes on."""

    status: int


Answer = Close | Alert | Reject | Abort | PassOn | Status

UNRECOGNIZED_NAME = 112  # RFC 6066
HANDSHAKE_FAILURE = 40  # RFC 8446


class Reason(enum.StrEnum):
    """Why somebody was refused or an association was ended by the gateway. A closed set."""

    ADDRESS_DENIED = "address_denied"
    CONNECTION_LIMIT = "connection_limit"
    ADDRESS_LIMIT = "address_limit"
    PROXY_HEADER_MISSING = "proxy_header_missing"
    PROXY_HEADER_MALFORMED = "proxy_header_malformed"
    PROXY_HEADER_UNTRUSTED = "proxy_header_untrusted"
    PROXY_HEADER_TIMEOUT = "proxy_header_timeout"
    NOT_TLS = "not_tls"
    CLIENT_HELLO_TIMEOUT = "client_hello_timeout"
    CLIENT_HELLO_MALFORMED = "client_hello_malformed"
    TLS_ON_PLAIN = "tls_on_plain"
    SNI_UNKNOWN = "sni_unknown"
    SNI_MISMATCH = "sni_mismatch"
    SNI_MISSING = "sni_missing"
    TLS_VERSION = "tls_version"
    TLS_NO_SHARED_CIPHER = "tls_no_shared_cipher"
    CLIENT_CERTIFICATE_MISSING = "client_certificate_missing"
    CLIENT_CERTIFICATE_UNTRUSTED = "client_certificate_untrusted"
    CLIENT_CERTIFICATE_EXPIRED = "client_certificate_expired"
    CLIENT_CERTIFICATE_NOT_YET_VALID = "client_certificate_not_yet_valid"
    CLIENT_CERTIFICATE_WRONG_USAGE = "client_certificate_wrong_usage"
    CLIENT_CERTIFICATE_WEAK = "client_certificate_weak"
    TLS_PEER_ALERT = "tls_peer_alert"
    TLS_TIMEOUT = "tls_timeout"
    TLS_FAILED = "tls_failed"
    CLIENT_CERTIFICATE_REVOKED = "client_certificate_revoked"
    CLIENT_CERTIFICATE_CRL_STALE = "client_certificate_crl_stale"
    CLIENT_CERTIFICATE_WRONG_CA = "client_certificate_wrong_ca"
    ARTIM_EXPIRED = "artim_expired"
    PROBE_DISCONNECT = "probe_disconnect"
    REQUESTOR_GONE = "requestor_gone"
    TLS_TRUNCATED = "tls_truncated"
    PDU_INVALID = "pdu_invalid"
    PDU_UNEXPECTED = "pdu_unexpected"
    REQUEST_TOO_LARGE = "request_too_large"
    PROTOCOL_VERSION = "protocol_version"
    APPLICATION_CONTEXT = "application_context"
    CALLED_AET_UNKNOWN = "called_aet_unknown"
    REQUEST_AMBIGUOUS = "request_ambiguous"
    TOO_MANY_CONTEXTS = "too_many_contexts"
    NO_PERMITTED_CONTEXT = "no_permitted_context"
    TENANT_AMBIGUOUS = "tenant_ambiguous"
    TENANT_MISMATCH = "tenant_mismatch"
    CALLING_AET_UNKNOWN = "calling_aet_unknown"
    SOURCE_NOT_ALLOWED = "source_not_allowed"
    CERTIFICATE_REQUIRED = "certificate_required"
    CERTIFICATE_NOT_BOUND = "certificate_not_bound"
    SNI_REQUIRED = "sni_required"
    PEER_REFUSED = "peer_refused"
    IDENTITY_REQUIRED = "identity_required"
    IDENTITY_REFUSED = "identity_refused"
    ASSOCIATION_LIMIT = "association_limit"
    DRAINING = "draining"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_TLS_FAILED = "upstream_tls_failed"
    UPSTREAM_PROTOCOL_ERROR = "upstream_protocol_error"
    UPSTREAM_LOOP = "upstream_loop"
    IDENTITY_UNAVAILABLE = "identity_unavailable"
    INTERNAL = "internal"
    UPSTREAM_REJECTED = "upstream_rejected"
    UPSTREAM_ABORTED = "upstream_aborted"
    OPERATION_NOT_ALLOWED = "operation_not_allowed"
    MOVE_DESTINATION_NOT_ALLOWED = "move_destination_not_allowed"
    POLICY_CHANGED = "policy_changed"
    DISCONNECTED = "disconnected"


class Ended(enum.StrEnum):
    """How an association ended (`ended` in docs/reference/record.md)."""

    RELEASED = "released"
    ABORTED_BY_REQUESTOR = "aborted_by_requestor"
    ABORTED_BY_UPSTREAM = "aborted_by_upstream"
    ABORTED_BY_GATEWAY = "aborted_by_gateway"
    REQUESTOR_LOST = "requestor_lost"
    UPSTREAM_LOST = "upstream_lost"
    TIMEOUT = "timeout"
    DRAINED = "drained"
    POLICY_CHANGED = "policy_changed"
    DISCONNECTED = "disconnected"
    WORKER_LOST = "worker_lost"
    REFUSED = "refused"


_NO_REASON = Reject(1, 1, 1)
_CALLING = Reject(1, 1, 3)
_CALLED = Reject(1, 1, 7)
_CONGESTION = Reject(2, 3, 1)

ANSWERS: dict[Reason, Answer] = {
    Reason.ADDRESS_DENIED: Close(),
    Reason.CONNECTION_LIMIT: Close(),
    Reason.ADDRESS_LIMIT: Close(),
    Reason.PROXY_HEADER_MISSING: Close(),
    Reason.PROXY_HEADER_MALFORMED: Close(),
    Reason.PROXY_HEADER_UNTRUSTED: Close(),
    Reason.PROXY_HEADER_TIMEOUT: Close(),
    Reason.NOT_TLS: Close(),
    Reason.CLIENT_HELLO_TIMEOUT: Close(),
    Reason.CLIENT_HELLO_MALFORMED: Alert(50),  # decode_error
    Reason.TLS_ON_PLAIN: Abort(None, 1),
    Reason.SNI_UNKNOWN: Alert(UNRECOGNIZED_NAME),
    Reason.SNI_MISMATCH: Alert(UNRECOGNIZED_NAME),
    Reason.SNI_MISSING: Alert(HANDSHAKE_FAILURE),
    Reason.TLS_VERSION: Alert(),
    Reason.TLS_NO_SHARED_CIPHER: Alert(),
    Reason.CLIENT_CERTIFICATE_MISSING: Alert(),
    Reason.CLIENT_CERTIFICATE_UNTRUSTED: Alert(),
    Reason.CLIENT_CERTIFICATE_EXPIRED: Alert(),
    Reason.CLIENT_CERTIFICATE_NOT_YET_VALID: Alert(),
    Reason.CLIENT_CERTIFICATE_WRONG_USAGE: Alert(),
    # OpenSSL's alert where it judges; where the gateway judges after the handshake (security level 0, B.13), an RJ.
    Reason.CLIENT_CERTIFICATE_WEAK: Alert(),
    Reason.TLS_PEER_ALERT: Close(),
    Reason.TLS_TIMEOUT: Close(),
    Reason.TLS_FAILED: Alert(),
    Reason.CLIENT_CERTIFICATE_REVOKED: _CALLING,
    Reason.CLIENT_CERTIFICATE_CRL_STALE: _CALLING,
    Reason.CLIENT_CERTIFICATE_WRONG_CA: _CALLING,
    Reason.ARTIM_EXPIRED: Close(),
    Reason.PROBE_DISCONNECT: Close(),
    Reason.REQUESTOR_GONE: Close(),
    Reason.TLS_TRUNCATED: Close(),
    Reason.PDU_INVALID: Abort(None, 6),
    Reason.PDU_UNEXPECTED: Abort(None, 2),
    Reason.REQUEST_TOO_LARGE: Abort(None, 6),
    Reason.PROTOCOL_VERSION: Reject(1, 2, 2),
    Reason.APPLICATION_CONTEXT: Reject(1, 1, 2),
    Reason.CALLED_AET_UNKNOWN: _CALLED,
    Reason.REQUEST_AMBIGUOUS: _NO_REASON,
    Reason.TOO_MANY_CONTEXTS: _NO_REASON,
    Reason.NO_PERMITTED_CONTEXT: _NO_REASON,
    Reason.TENANT_AMBIGUOUS: _NO_REASON,
    Reason.TENANT_MISMATCH: _CALLED,
    Reason.CALLING_AET_UNKNOWN: _CALLING,
    Reason.SOURCE_NOT_ALLOWED: _CALLING,
    Reason.CERTIFICATE_REQUIRED: _CALLING,
    Reason.CERTIFICATE_NOT_BOUND: _CALLING,
    Reason.SNI_REQUIRED: _CALLING,
    Reason.PEER_REFUSED: _CALLING,
    Reason.IDENTITY_REQUIRED: Reject(1, 2, 1),
    Reason.IDENTITY_REFUSED: Reject(1, 2, 1),
    Reason.ASSOCIATION_LIMIT: Reject(2, 3, 2),
    Reason.DRAINING: _CONGESTION,
    Reason.UPSTREAM_UNAVAILABLE: _CONGESTION,
    Reason.UPSTREAM_TIMEOUT: _CONGESTION,
    Reason.UPSTREAM_TLS_FAILED: _CONGESTION,
    Reason.UPSTREAM_PROTOCOL_ERROR: _CONGESTION,
    Reason.UPSTREAM_LOOP: _CONGESTION,
    Reason.IDENTITY_UNAVAILABLE: _CONGESTION,
    Reason.INTERNAL: _CONGESTION,
    Reason.UPSTREAM_REJECTED: PassOn(),
    Reason.UPSTREAM_ABORTED: PassOn(),
    Reason.OPERATION_NOT_ALLOWED: Status(0x0124),
    Reason.MOVE_DESTINATION_NOT_ALLOWED: Status(0xA801),
    Reason.POLICY_CHANGED: Abort(2, 0),
    Reason.DISCONNECTED: Abort(2, 0),
}

#: What `observe_until` may let pass. Never: tenant separation, certificates, ambiguity, limits, identity_refused.
OBSERVABLE = frozenset(
    {
        Reason.CALLED_AET_UNKNOWN,
        Reason.CALLING_AET_UNKNOWN,
        Reason.SOURCE_NOT_ALLOWED,
        Reason.CERTIFICATE_REQUIRED,
        Reason.CERTIFICATE_NOT_BOUND,
        Reason.PEER_REFUSED,
        Reason.NO_PERMITTED_CONTEXT,
        Reason.IDENTITY_REQUIRED,
        Reason.OPERATION_NOT_ALLOWED,
        Reason.MOVE_DESTINATION_NOT_ALLOWED,
    }
)
