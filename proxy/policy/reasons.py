"""The one vocabulary of refusals: every reason, and what it says on the wire (docs/refusals.md).

The same word stands in the access record, the metrics, `explain`, the audit trail and the documentation.
"""

import enum
from dataclasses import dataclass

from proxy.pdu import AbortReason, AbortSource


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
DECODE_ERROR = 50  # RFC 8446


class Stage(enum.Enum):
    """The stage of a connection that gives a reason."""

    ACCEPT = enum.auto()
    PROXY_HEADER = enum.auto()
    FIRST_BYTES = enum.auto()  # is it TLS where TLS is expected, and a complete ClientHello?
    TLS = enum.auto()  # server name, handshake, and the certificate as far as it fails the handshake
    REQUEST = enum.auto()  # the wait for a complete A-ASSOCIATE-RQ
    PDU = enum.auto()  # the reading of a PDU, of the request or of the association
    DECISION = enum.auto()  # the request is complete: all that is answered by A-ASSOCIATE-RJ
    UPSTREAM = enum.auto()
    RELAY = enum.auto()
    ANY = enum.auto()


class Reason(enum.StrEnum):
    """The reason why the gateway refused a connection or ended an association. A closed set."""

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

    @property
    def stage(self) -> Stage:
        """The stage that gives this reason."""
        return _TABLE[self].stage

    @property
    def answer(self) -> Answer:
        """The answer on the wire, unless the stage has another one."""
        return _TABLE[self].answer

    @property
    def observable(self) -> bool:
        """True if `observe_until` may let it pass: never tenant separation, certificates, ambiguity or limits."""
        return _TABLE[self].observable

    @property
    def failure(self) -> bool:
        """True if nothing was refused: the access record says `failed`."""
        return _TABLE[self].failure


@dataclass(frozen=True, slots=True)
class Row:
    """What belongs to a reason; see the properties of `Reason`."""

    stage: Stage
    answer: Answer
    observable: bool = False
    failure: bool = False


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
_IDENTITY = Reject(1, 2, 1)
_CONGESTION = Reject(2, 3, 1)
_ABORTED = Abort(AbortSource.SERVICE_PROVIDER, AbortReason.NOT_SPECIFIED)

_TABLE: dict[Reason, Row] = {
    Reason.ADDRESS_DENIED: Row(Stage.ACCEPT, Close()),
    Reason.CONNECTION_LIMIT: Row(Stage.ACCEPT, Close()),
    Reason.ADDRESS_LIMIT: Row(Stage.ACCEPT, Close()),
    Reason.PROXY_HEADER_MISSING: Row(Stage.PROXY_HEADER, Close()),
    Reason.PROXY_HEADER_MALFORMED: Row(Stage.PROXY_HEADER, Close()),
    Reason.PROXY_HEADER_UNTRUSTED: Row(Stage.PROXY_HEADER, Close()),
    Reason.PROXY_HEADER_TIMEOUT: Row(Stage.PROXY_HEADER, Close()),
    Reason.NOT_TLS: Row(Stage.FIRST_BYTES, Close()),
    Reason.CLIENT_HELLO_TIMEOUT: Row(Stage.FIRST_BYTES, Close()),
    Reason.CLIENT_HELLO_MALFORMED: Row(Stage.FIRST_BYTES, Alert(DECODE_ERROR)),
    Reason.TLS_ON_PLAIN: Row(Stage.FIRST_BYTES, Abort(None, AbortReason.UNRECOGNIZED_PDU)),
    Reason.SNI_UNKNOWN: Row(Stage.TLS, Alert(UNRECOGNIZED_NAME)),
    Reason.SNI_MISMATCH: Row(Stage.TLS, Alert(UNRECOGNIZED_NAME)),
    Reason.SNI_MISSING: Row(Stage.TLS, Alert(HANDSHAKE_FAILURE)),
    Reason.TLS_VERSION: Row(Stage.TLS, Alert()),
    Reason.TLS_NO_SHARED_CIPHER: Row(Stage.TLS, Alert()),
    Reason.CLIENT_CERTIFICATE_MISSING: Row(Stage.TLS, Alert()),
    Reason.CLIENT_CERTIFICATE_UNTRUSTED: Row(Stage.TLS, Alert()),
    Reason.CLIENT_CERTIFICATE_EXPIRED: Row(Stage.TLS, Alert()),
    Reason.CLIENT_CERTIFICATE_NOT_YET_VALID: Row(Stage.TLS, Alert()),
    Reason.CLIENT_CERTIFICATE_WRONG_USAGE: Row(Stage.TLS, Alert()),
    # OpenSSL's alert where it judges; where the gateway judges after the handshake (security level 0, B.13), an RJ.
    Reason.CLIENT_CERTIFICATE_WEAK: Row(Stage.TLS, Alert()),
    Reason.TLS_PEER_ALERT: Row(Stage.TLS, Close()),
    Reason.TLS_TIMEOUT: Row(Stage.TLS, Close()),
    Reason.TLS_FAILED: Row(Stage.TLS, Alert()),
    Reason.CLIENT_CERTIFICATE_REVOKED: Row(Stage.DECISION, _CALLING),
    Reason.CLIENT_CERTIFICATE_CRL_STALE: Row(Stage.DECISION, _CALLING),
    Reason.CLIENT_CERTIFICATE_WRONG_CA: Row(Stage.DECISION, _CALLING),
    Reason.ARTIM_EXPIRED: Row(Stage.REQUEST, Close()),
    Reason.PROBE_DISCONNECT: Row(Stage.ACCEPT, Close()),
    Reason.REQUESTOR_GONE: Row(Stage.REQUEST, Close(), failure=True),
    Reason.TLS_TRUNCATED: Row(Stage.TLS, Close(), failure=True),
    Reason.PDU_INVALID: Row(Stage.PDU, Abort(None, AbortReason.INVALID_PDU_PARAMETER)),
    Reason.PDU_UNEXPECTED: Row(Stage.PDU, Abort(None, AbortReason.UNEXPECTED_PDU)),
    Reason.REQUEST_TOO_LARGE: Row(Stage.PDU, Abort(None, AbortReason.INVALID_PDU_PARAMETER)),
    Reason.PROTOCOL_VERSION: Row(Stage.DECISION, Reject(1, 2, 2)),
    Reason.APPLICATION_CONTEXT: Row(Stage.DECISION, Reject(1, 1, 2)),
    Reason.CALLED_AET_UNKNOWN: Row(Stage.DECISION, _CALLED, observable=True),
    Reason.REQUEST_AMBIGUOUS: Row(Stage.DECISION, _NO_REASON),
    Reason.TOO_MANY_CONTEXTS: Row(Stage.DECISION, _NO_REASON),
    Reason.NO_PERMITTED_CONTEXT: Row(Stage.DECISION, _NO_REASON, observable=True),
    Reason.TENANT_AMBIGUOUS: Row(Stage.DECISION, _NO_REASON),
    Reason.TENANT_MISMATCH: Row(Stage.DECISION, _CALLED),
    Reason.CALLING_AET_UNKNOWN: Row(Stage.DECISION, _CALLING, observable=True),
    Reason.SOURCE_NOT_ALLOWED: Row(Stage.DECISION, _CALLING, observable=True),
    Reason.CERTIFICATE_REQUIRED: Row(Stage.DECISION, _CALLING, observable=True),
    Reason.CERTIFICATE_NOT_BOUND: Row(Stage.DECISION, _CALLING, observable=True),
    Reason.SNI_REQUIRED: Row(Stage.DECISION, _CALLING),
    Reason.PEER_REFUSED: Row(Stage.DECISION, _CALLING, observable=True),
    Reason.IDENTITY_REQUIRED: Row(Stage.DECISION, _IDENTITY, observable=True),
    Reason.IDENTITY_REFUSED: Row(Stage.DECISION, _IDENTITY),
    Reason.ASSOCIATION_LIMIT: Row(Stage.DECISION, Reject(2, 3, 2)),
    Reason.DRAINING: Row(Stage.DECISION, _CONGESTION),
    Reason.UPSTREAM_UNAVAILABLE: Row(Stage.UPSTREAM, _CONGESTION),
    Reason.UPSTREAM_TIMEOUT: Row(Stage.UPSTREAM, _CONGESTION),
    Reason.UPSTREAM_TLS_FAILED: Row(Stage.UPSTREAM, _CONGESTION),
    Reason.UPSTREAM_PROTOCOL_ERROR: Row(Stage.UPSTREAM, _CONGESTION),
    Reason.UPSTREAM_LOOP: Row(Stage.UPSTREAM, _CONGESTION),
    Reason.IDENTITY_UNAVAILABLE: Row(Stage.DECISION, _CONGESTION),
    Reason.INTERNAL: Row(Stage.ANY, _CONGESTION, failure=True),
    Reason.UPSTREAM_REJECTED: Row(Stage.UPSTREAM, PassOn()),
    Reason.UPSTREAM_ABORTED: Row(Stage.UPSTREAM, PassOn()),
    Reason.OPERATION_NOT_ALLOWED: Row(Stage.RELAY, Status(0x0124), observable=True),
    Reason.MOVE_DESTINATION_NOT_ALLOWED: Row(Stage.RELAY, Status(0xA801), observable=True),
    Reason.POLICY_CHANGED: Row(Stage.RELAY, _ABORTED),
    Reason.DISCONNECTED: Row(Stage.RELAY, _ABORTED),
}


def reasons_of(*stages: Stage) -> tuple[Reason, ...]:
    """Return the reasons of these stages, in the order of the table."""
    return tuple(reason for reason, row in _TABLE.items() if row.stage in stages)
