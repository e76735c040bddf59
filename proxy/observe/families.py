"""Every metric that exists. Workers and the exposition read the same table.

A label value is never what a stranger chose: it comes from the configuration or from a closed set (`labels.Labels`). A
family whose combinations are few is created with zeros at start, so that `rate()` sees the first event.
"""

import enum
from dataclasses import dataclass

from proxy.policy import Reason, Stage, reasons_of

PREFIX = "dicomgate_"
#: The tenant of what happened before one was chosen.
NO_TENANT = "none"
#: What stands for a value outside the closed set of its label.
OTHER = "other"


class Kind(enum.StrEnum):
    """The types of Prometheus that are used."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `highest`: over workers a gauge takes the highest value, else the sum.

    `reasons`: those that are created at start; any other Reason is created when it first happens. `at_start` False:
    nothing is created at start, because the combinations are many, or because one process alone knows the value.
    """

    name: str  # without PREFIX; counters with `_total`
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    highest: bool = False
    at_start: bool = True
    reasons: tuple[Reason, ...] = ()


_CONNECTION = (*reasons_of(Stage.ACCEPT, Stage.PROXY_HEADER, Stage.FIRST_BYTES), Reason.INTERNAL)
_ASSOCIATION = reasons_of(Stage.REQUEST, Stage.PDU, Stage.DECISION, Stage.UPSTREAM, Stage.RELAY, Stage.ANY)
#: May come before the request is read and after.
_EARLY = reasons_of(Stage.REQUEST, Stage.PDU)
_PDU = (*reasons_of(Stage.PDU), Reason.UPSTREAM_PROTOCOL_ERROR)

_HANDSHAKE_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0)  # timeouts.tls_handshake is 10 s
_SETUP_SECONDS = (0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0)  # timeouts.upstream_accept is 30 s
_CONNECT_SECONDS = (0.0005, 0.002, 0.01, 0.05, 0.25, 1.0, 5.0)  # timeouts.upstream_connect is 5 s
_ASSOCIATION_SECONDS = (0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0)
_DIMSE_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0)
_KIB = 1024
_INSTANCE_BYTES = tuple(_KIB * 4**power for power in range(1, 12))  # 4 KiB to 4 GiB
_LAG_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5)

_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

FAMILIES = (
    Family(
        "build_info",
        Kind.INFO,
        "Versions of the gateway and of what it stands on.",
        ("version", "python", "openssl", "uvloop"),
        highest=True,
        at_start=False,
    ),
    Family("connections_total", _C, "Connections accepted.", ("listener",)),
    Family("connections_active", _G, "Open connections by what they wait for.", ("listener", "phase")),
    Family(
        "connections_rejected_total",
        _C,
        "Connections ended before an association request was read, other than by TLS, by reason.",
        ("listener", "reason"),
        reasons=_CONNECTION + _EARLY,
    ),
    Family(
        "proxy_protocol_headers_total",
        _C,
        "PROXY headers of load balancers: good ones, and connections that were refused for theirs.",
        ("listener", "result"),
    ),
    Family(
        "tls_handshakes_total",
        _C,
        "TLS handshakes completed.",
        ("listener", "role", "version", "cipher", "resumed", "client_cert"),
        at_start=False,
    ),
    Family(
        "tls_handshake_failures_total",
        _C,
        "TLS handshakes that failed or were refused, by reason.",
        ("listener", "role", "reason"),
        reasons=reasons_of(Stage.TLS),
    ),
    Family(
        "tls_handshake_duration_seconds",
        _H,
        "From the ClientHello to the end of the TLS handshake.",
        ("listener", "role"),
        _HANDSHAKE_SECONDS,
    ),
    Family("sni_lookups_total", _C, "What the server name of a ClientHello selected.", ("listener", "result")),
    Family(
        "associations_total",
        _C,
        "Associations requested: accepted, refused (by policy or upstream), failed.",
        ("listener", "tenant", "outcome"),
    ),
    Family(
        "association_refusals_total",
        _C,
        "Associations refused or ended by the gateway, by reason.",
        ("tenant", "reason"),
        reasons=_ASSOCIATION,
    ),
    Family("associations_ended_total", _C, "How associations ended.", ("tenant", "ended")),
    Family("associations_active", _G, "Associations established now.", ("tenant",)),
    Family(
        "associations_limit",
        _G,
        "The most associations that may be established at once.",
        ("tenant",),
        highest=True,
        at_start=False,
    ),
    Family(
        "association_setup_duration_seconds",
        _H,
        "From the end of the TLS handshake to the answer to the A-ASSOCIATE-RQ.",
        ("tenant",),
        _SETUP_SECONDS,
    ),
    Family(
        "association_duration_seconds",
        _H,
        "From the A-ASSOCIATE-AC to the end of the association.",
        ("tenant",),
        _ASSOCIATION_SECONDS,
    ),
    Family(
        "policy_decisions_total",
        _C,
        "Decisions on association requests by the peer entry that made them, or else by the reason.",
        ("tenant", "rule", "decision"),
    ),
    Family("received_bytes_total", _C, "Plaintext bytes received.", ("tenant", "side")),
    Family("sent_bytes_total", _C, "Plaintext bytes sent.", ("tenant", "side")),
    Family("pdus_total", _C, "PDUs relayed; direction in is from the requestor.", ("tenant", "direction", "type")),
    Family("pdu_errors_total", _C, "PDUs that break PS3.8.", ("tenant", "side", "reason"), reasons=_PDU),
    Family(
        "dimse_messages_total",
        _C,
        "DIMSE requests that passed; direction in is from the requestor.",
        ("tenant", "direction", "operation"),
        at_start=False,
    ),
    Family(
        "dimse_responses_total",
        _C,
        "DIMSE responses by the operation they answer.",
        ("tenant", "operation", "status_class"),
        at_start=False,
    ),
    Family(
        "dimse_refusals_total",
        _C,
        "DIMSE requests that the policy does not allow: refused, or only observed.",
        ("tenant", "operation", "reason", "decision"),
        at_start=False,
    ),
    Family(
        "dimse_duration_seconds",
        _H,
        "From a DIMSE request to its final response.",
        ("tenant", "operation"),
        _DIMSE_SECONDS,
        at_start=False,
    ),
    Family(
        "instances_stored_total",
        _C,
        "C-STORE requests answered, by group of SOP classes.",
        ("tenant", "sop_class", "status_class"),
        at_start=False,
    ),
    Family(
        "instances_stored_bytes_total",
        _C,
        "Bytes of the data sets of the C-STORE requests answered, by group of SOP classes.",
        ("tenant", "sop_class"),
        at_start=False,
    ),
    Family(
        "instance_size_bytes",
        _H,
        "Bytes of the data sets of the C-STORE requests that were answered.",
        ("tenant",),
        _INSTANCE_BYTES,
    ),
    Family(
        "backpressure_pauses_total",
        _C,
        "Times that reading one side stopped because the other side was slower.",
        ("tenant", "side"),
    ),
    Family("upstream_connect_attempts_total", _C, "Connection attempts to a server.", ("upstream", "server", "result")),
    Family(
        "upstream_connect_duration_seconds",
        _H,
        "From the start of a connection attempt to the connection.",
        ("upstream", "server"),
        _CONNECT_SECONDS,
    ),
    Family(
        "upstream_up",
        _G,
        "0 since the last connection attempt to a server failed, or its health check found it down; else 1.",
        ("upstream", "server"),
        highest=True,
    ),
    Family(
        "upstream_health_checks_total",
        _C,
        "Health checks of a server: ok, rejected (alive, and refuses the check), or what else came of them.",
        ("upstream", "server", "check", "result"),
    ),
    Family(
        "upstream_health_check_timestamp_seconds",
        _G,
        "When the last health check of a server ended.",
        ("upstream", "server"),
        highest=True,
        at_start=False,
    ),
    Family("upstream_associations_active", _G, "Associations open to a server now.", ("upstream", "server")),
    Family(
        "tls_certificate_not_after_timestamp_seconds",
        _G,
        "When a configured certificate ends.",
        ("use", "name", "serial"),
        highest=True,
        at_start=False,
    ),
    Family(
        "tls_certificate_not_before_timestamp_seconds",
        _G,
        "When a configured certificate begins.",
        ("use", "name", "serial"),
        highest=True,
        at_start=False,
    ),
    Family(
        "crl_next_update_timestamp_seconds",
        _G,
        "When the next revocation list of an issuer is due.",
        ("issuer",),
        highest=True,
        at_start=False,
    ),
    Family(
        "config_last_reload_successful",
        _G,
        "1 if the configuration was last loaded without an error, else 0.",
        highest=True,
        at_start=False,
    ),
    Family(
        "config_last_reload_success_timestamp_seconds",
        _G,
        "When a configuration was last loaded without an error.",
        highest=True,
        at_start=False,
    ),
    Family("config_reloads_total", _C, "Reloads of the configuration, by what asked for them.", ("trigger", "result")),
    Family("draining", _G, "1 while new associations are refused because the gateway drains.", highest=True),
    Family("workers", _G, "Worker processes by state.", ("state",), at_start=False),
    Family("event_loop_lag_seconds", _H, "How much later than planned the event loop ran a timer.", (), _LAG_SECONDS),
    Family("label_overflow_total", _C, "Label values outside the closed set, shown as `other`.", ("label",)),
    Family("log_dropped_total", _C, "Log lines and access records dropped because the sink was too slow or full."),
)

BY_NAME = {family.name: family for family in FAMILIES}


def operation_label(name: str) -> str:
    """How a DIMSE service is named in labels: c_store for C-STORE."""
    return name.lower().replace("-", "_")
